"""The HTTP API: serves the newest mood, its history and the cameras' state to ad systems, operators and analysts.

It owns how responses are chosen and served, and is the only stage that uses asyncio. It must not estimate or publish a
mood or import another stage, and it uses the bus for photos and previews only.
"""
