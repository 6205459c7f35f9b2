"""TensorRT 8.5 to 11 and TensorRT-RTX: one builder and one run path, branching on what the installed version has.

In these files TensorRT's objects are held under fixed names alone (`trt`, `logger`, `builder`, `config`, `network`,
`parser`, `profile`, `runtime`, `engine`, `context`, `inspector`, `timing_cache`, `layer`, `tensor`, `parser_error`,
`monitor`, `plan`), never under another and never through a chain, so that tests/bindings can read from the source
which parts of the API we use, and hold them against the real bindings of every version.
"""
