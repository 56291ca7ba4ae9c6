"""Qdrant's engine inside the process, behind the methods of its client that Tandem uses."""
