"""What the embedded workloads share: data queues, targets, evaluation."""
