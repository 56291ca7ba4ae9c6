"""The shape of a run: its state, its knobs, its routing and the graph itself."""
