"""The use cases: what can be done with files, whoever asks and wherever they are kept."""
