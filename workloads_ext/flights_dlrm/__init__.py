"""A small DLRM that predicts late flights."""

WORKLOAD_CLASS_NAME = "FlightsDlrmWorkload"
