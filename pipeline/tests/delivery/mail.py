"""A mail server for tests: prints each mail that it takes as a line of JSON.

It turns nobody@… away for good, and busy@… the first time.
"""

import email
import email.policy
import json
import ssl
import sys
import threading

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

port, security, certificate, key = int(sys.argv[1]), *sys.argv[2:5]


class Handler:
    def __init__(self):
        self.busy = True

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("nobody@"):
            return "550 there is nobody of this name"
        if address.startswith("busy@") and self.busy:
            self.busy = False
            return "451 come again"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        told = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "tls": session.ssl is not None,
            "head": {name: str(value) for name, value in mail.items()},
            "body": mail.get_content(),
        }
        print(json.dumps(told), flush=True)
        return "250 OK"


def authenticate(server, session, envelope, mechanism, data):
    good = (data.login, data.password) == (b"cloudops", b"a secret of some length")
    return AuthResult(success=good)


settings = {"hostname": "127.0.0.1", "port": port}
if security != "none":
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    settings |= {"authenticator": authenticate, "auth_required": True}
    if security == "starttls":
        settings |= {"tls_context": context, "require_starttls": True}
    else:
        # What is wrapped is secure, though the protocol was not told so.
        settings |= {"ssl_context": context, "auth_require_tls": False}
Controller(Handler(), **settings).start()
threading.Event().wait()
