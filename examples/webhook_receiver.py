"""Takes CrowdMood's webhooks and believes only what is signed: `python webhook_receiver.py PORT SECRET`."""

import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

webhook = Webhook(sys.argv[2])
seen: set[str] = set()


class Receiver(BaseHTTPRequestHandler):
    """Answers 204 to what CrowdMood sent, and 401 to anybody else."""

    def do_POST(self) -> None:
        """Verify first, over the bytes that came; then act, once for each id: a delivery may come again."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        try:
            event = webhook.verify(body, headers)
        except WebhookVerificationError:
            self.send_response(401)
        else:
            if headers["webhook-id"] not in seen:
                seen.add(headers["webhook-id"])
                print(event["type"], event["data"], flush=True)
            self.send_response(204)
        self.end_headers()


HTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver).serve_forever()
