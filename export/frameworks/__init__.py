"""One file a framework, each with a class Exporter; the file name is the registration."""
