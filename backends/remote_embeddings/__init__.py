"""Embedding models behind a server: Ollama, and anything OpenAI-compatible."""
