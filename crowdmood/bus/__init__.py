"""The bus: the only package that sends stream commands. Other packages exchange messages with it.

`keys` names the keys, `connection` retries while a server is unreachable, `streams` publishes, `inbox` reads,
`worker` is the loop of every stage.
"""
