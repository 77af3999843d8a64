"""Tables: ablation, methods, statistics, custom tables, fidelity ledger."""
