"""The only home of stream commands and key names: everything else gets messages and hands messages back.

`keys` names every key, `connection` survives a server that goes away, `bus` sends messages from stage to stage and
`inbox` reads them, `moods` keeps the answers in the state store. What a message means is not judged here.
"""
