"""The bus: the only package that sends stream commands. Other packages give it messages and get messages.

`keys` names the keys, `connection` survives a server that is unreachable, `streams` publishes, `inbox` reads,
`worker` is the loop of every stage.
"""
