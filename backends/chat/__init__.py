"""Chat servers: vLLM and anything OpenAI-compatible, and Ollama."""
