"""What tables say: ablation, methods compared, statistics, a user's own, the fidelity ledger."""
