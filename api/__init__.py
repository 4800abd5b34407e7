"""The HTTP API: tells ad systems, operators and analysts the newest mood, its history and the cameras' state.

It owns how answers are chosen, shown and served, and is the only home of asyncio; it must not judge a mood, write to
the state store or import another stage, and it asks the bus about single pictures only.
"""
