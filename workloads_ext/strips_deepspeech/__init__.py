"""A small LSTM that reads strips of digits."""

WORKLOAD_CLASS_NAME = "StripsDeepspeechWorkload"
