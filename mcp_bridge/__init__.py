"""Tandem for agents and editors, over the Model Context Protocol.

``bridge`` holds the tools, the resources and the prompt, the same for both transports: ``stdio``
is what ``tandem mcp`` runs, ``endpoint`` what the service answers at ``/mcp``. Each gives the
bridge a ``Library``: a Tandem in this process, or one behind HTTP.
"""
