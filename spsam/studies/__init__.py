"""What is run: a study is planned into runs, the runs are executed, the results gathered."""
