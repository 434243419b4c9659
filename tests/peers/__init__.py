"""The documented network in other frameworks, for parity tests and benchmarks; none of them is needed to run minidl."""
