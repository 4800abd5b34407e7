"""Shows the ad that fits the crowd, or the default one: `python ad_board.py http://127.0.0.1:8000 [KEY]`."""

import sys
import time

from crowdmood_client import Client

ADS = {"happy": "celebrate.mp4", "cheering": "anthem.mp4", "surprise": "wow.mp4", "sad": "comfort.mp4"}

with Client(*sys.argv[1:]) as crowd:
    while True:
        print(ADS.get(crowd.leading(default="neutral"), "default.mp4"), flush=True)
        time.sleep(1)
