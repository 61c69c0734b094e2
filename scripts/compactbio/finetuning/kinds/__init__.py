"""What each kind of task needs besides its record: its features, its head, its loss, its tables and metrics."""
