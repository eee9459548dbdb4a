"""Training algorithms without schedules for the AlgoPerf benchmark."""
