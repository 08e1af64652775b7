// Every literal that a torch call may have is read back as it was written.
// RUN: gossamer opt %s --no-locations | filecheck %s
// RUN: gossamer opt %s --print-generic | gossamer opt - --no-locations | filecheck %s
// RUN: gossamer opt %s | gossamer opt - --no-locations | filecheck %s

// CHECK: "numbers"(none, true, false, 0, -1, 9223372036854775807, -9223372036854775808)
aten.call "numbers"(none, true, false, 0, -1, 9223372036854775807, -9223372036854775808) : () -> ()
// CHECK: "floats"(0.0, -0.0, 1.0, 0.1, 1.0e-05, 1.7976931348623157e+308, 5.0e-324)
aten.call "floats"(0.0, -0.0, 1.0, 0.1, 1.0e-05, 1.7976931348623157e+308, 5.0e-324) : () -> ()
// CHECK: "special"(inf, -inf, nan)
aten.call "special"(inf, -inf, nan) : () -> ()
// CHECK: "complex"(complex<1.0, -0.0>, complex<inf, nan>, complex<-inf, 2.5>)
aten.call "complex"(complex<1.0, -0.0>, complex<inf, nan>, complex<-inf, 2.5>) : () -> ()
// CHECK: "lists"([], [[]], [1, [2.0, [none, "x"]], []])
aten.call "lists"([], [[]], [1, [2.0, [none, "x"]], []]) : () -> ()
// CHECK: "names"(torch.float32, device<"cuda:0">, dtype = torch.bfloat16, layout = torch.strided, memory_format = torch.channels_last)
aten.call "names"(torch.float32, device<"cuda:0">, dtype = torch.bfloat16, layout = torch.strided, memory_format = torch.channels_last) : () -> ()
// CHECK: "texts"("", "none", "a \"quoted\" word", "back\\slash", "two\nlines", "// no comment", "100 %x")
aten.call "texts"("", "none", "a \"quoted\" word", "back\\slash", "two\nlines", "// no comment", "100 %x") : () -> ()
