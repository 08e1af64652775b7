"""Row rules, each held against the plain call: active rows must be the same, whatever the other rows hold."""

from gossamer.compiler.frontends.torch_export import type_of  # noqa: F401
