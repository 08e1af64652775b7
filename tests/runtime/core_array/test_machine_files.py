"""Machines come from files in which every number has a unit and a source; a faulty file says where and why."""

from dataclasses import fields
from pathlib import Path

import pytest
from gossamer.dialects.diagnostics import UserError
from gossamer.runtime.core_array.machine import Costs
from gossamer.runtime.core_array.machine_files import MACHINES, known_machines, load_machine

LOIHI = (MACHINES / "loihi1.toml").read_text()


def written(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", known_machines())
def test_every_machine_that_comes_with_us_tells_the_source_of_every_number(name: str):
    machine = load_machine(name)
    assert machine.name == name
    for section in ("time", "energy"):
        assert {f"{section}.{field.name}" for field in fields(Costs)} <= machine.sources.keys()
    assert machine.cores == machine.mesh[0] * machine.mesh[1] * machine.cores_per_tile
    x, y = machine.position(machine.cores - 1)
    assert (x, y) == (machine.mesh[0] - 1, machine.mesh[1] - 1)
    assert all(cheap <= dear for (_, dear), (_, cheap) in zip(machine.barrier, machine.cheap_barrier, strict=False))


def test_loihi_has_the_numbers_of_its_papers():
    davies, fitted = load_machine("loihi1"), load_machine("loihi1-nahuku")
    assert davies.cores == fitted.cores == 128
    assert (davies.time.synapse, davies.energy.synapse, davies.energy.update_active) == (3.5, 23.6, 29)
    assert (fitted.time.synapse, fitted.energy.synapse, fitted.energy.spike) == (3.8, 35.5, 69.3)
    assert davies.barrier == ((1, 600), (2, 1000), (4, 1400), (29, 1800))
    assert davies.cheap_barrier == ((1, 113), (32, 465))
    assert davies.static_power == pytest.approx(0.816e-3)
    assert davies.limits.synapse_bytes == 131072
    assert davies.limits.fan_in is None
    assert (davies.tile_bandwidth, fitted.tile_bandwidth) == (3.44, None)
    assert davies.sources["time.synapse"].startswith("Davies 2018")


@pytest.mark.parametrize(
    ("written_as", "nanoseconds"),
    [('3500, unit = "ps"', 3.5), ('3.5, unit = "ns"', 3.5), ('7, unit = "us"', 7e3), ('2, unit = "ms"', 2e6)],
)
def test_units_are_converted(tmp_path: Path, written_as: str, nanoseconds: float):
    text = LOIHI.replace('synapse = { value = 3.5, unit = "ns"', f"synapse = {{ value = {written_as}")
    assert load_machine(written(tmp_path, text)).time.synapse == nanoseconds


FAULTS = {
    "an unknown key": ("synapse = {", "synaps = {", "unknown key of [time]", "did you mean 'synapse'?"),
    "a wrong unit": (
        '3.5, unit = "ns"',
        '3.5, unit = "pJ"',
        "expected one of the units ps, ns, us, ms, found 'pJ'",
        "",
    ),
    "no unit": ('3.5, unit = "ns"', "3.5", "expected the keys source, unit, value, found source, value", ""),
    "a negative number": ('3.5, unit = "ns"', '-3.5, unit = "ns"', "not negative, found -3.5", ""),
    "not a number": ('3.5, unit = "ns"', 'nan, unit = "ns"', "expected a finite number, found nan", ""),
    "no bound": ('3.5, unit = "ns"', 'inf, unit = "ns"', "expected a finite number, found inf", ""),
    "a text": ('3.5, unit = "ns"', '"3.5", unit = "ns"', "expected a finite number, found 3.5", ""),
    "no source": ('"Davies 2018, Table 2: synaptic operation, at most"', '""', "expected a source", ""),
    "a bare number": ("synapse = {", "synapse = 3.5 #", "expected {value = ..., source = ...}, found 3.5", ""),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_names_file_and_line_and_what_was_expected(tmp_path: Path, fault: str):
    line = LOIHI.splitlines().index(next(text for text in LOIHI.splitlines() if text.startswith("synapse = ")))
    old, new, message, hint = FAULTS[fault]
    lines = LOIHI.splitlines()
    lines[line] = lines[line].replace(old, new)
    path = written(tmp_path, "\n".join(lines))
    with pytest.raises(UserError) as error:
        load_machine(path)
    assert error.value.place
    assert (error.value.place.file, error.value.place.line) == (str(path), line + 1)
    assert message in str(error.value)
    assert hint in str(error.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[[1, 113], [32, 465]]", "[[32, 465], [1, 113]]", "expected numbers of tiles that ascend, found [32, 1]"),
        ("[[1, 113], [32, 465]]", "[]", "expected pairs [tiles, amount], found []"),
        ("[[1, 113], [32, 465]]", "[[1, 113, 2]]", "expected two numbers"),
        ("[8, 4]", "[8, 0]", "expected a whole number from 1, found 0"),
        ("[8, 4]", "[8, 1.5]", "expected a whole number from 1, found 1.5"),
        ("[8, 4]", "[8, true]", "expected a finite number, found True"),
        ("[0.089, 0.202]", "[0.3, 0.2]", "expected [low, high]"),
        ("value = 3.44", "value = 0", "expected a number above 0, found 0"),
        ("[limits]", "[limit]", "did you mean 'limits'?"),
        ("title =", "name =", "`name`: unknown key"),
        ("[energy]", "[energy", "not TOML"),
    ],
)
def test_tables_and_sections_are_checked_too(tmp_path: Path, old: str, new: str, message: str):
    with pytest.raises(UserError) as error:
        load_machine(written(tmp_path, LOIHI.replace(old, new)))
    assert message in str(error.value)
    assert error.value.place


def test_what_is_missing_is_told_with_its_section(tmp_path: Path):
    kept = [line for line in LOIHI.splitlines() if not line.startswith(("packet_in", "hop_x"))]
    with pytest.raises(UserError, match=r"missing of \[time\]: packet_in, hop_x") as error:
        load_machine(written(tmp_path, "\n".join(kept)))
    assert error.value.place
    assert error.value.place.line == kept.index("[time]") + 1
    with pytest.raises(UserError, match="missing: title, array, limits, time, energy"):
        load_machine(written(tmp_path, ""))


def test_a_machine_that_nobody_knows_is_refused(tmp_path: Path):
    with pytest.raises(UserError, match="did you mean 'loihi1'"):
        load_machine("loihi")
    with pytest.raises(UserError, match="cannot read the machine file"):
        load_machine(tmp_path / "none.toml")
