"""Writes a small trail with its digests, as CloudTrail does, signed by openssl with a key that is not kept.

    python3 make.py

Three hours of logs and a digest an hour, each with the hash and the signature of the one before; the last
one's signature lies beside it. `key.pem` is the public half. A run makes new keys, so all files change.
"""

import gzip
import hashlib
import json
import pathlib
import shutil
import subprocess
import tempfile

HERE = pathlib.Path(__file__).parent
BUCKET = "trail"
PREFIX = "AWSLogs/123456789012"


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content, mtime=0))


def main():
    for folder in ["AWSLogs"]:
        shutil.rmtree(HERE / folder, ignore_errors=True)
    with tempfile.TemporaryDirectory() as secret:
        key = pathlib.Path(secret) / "key.pem"
        subprocess.run(["openssl", "genrsa", "-traditional", "-out", key, "2048"], check=True)
        subprocess.run(
            ["openssl", "rsa", "-in", key, "-RSAPublicKey_out", "-out", HERE / "key.pem"], check=True
        )
        before = None
        for hour in range(3):
            end = f"2024-05-01T{hour + 1:02}:00:00Z"
            logs = []
            for part in "ab":
                name = f"{PREFIX}/CloudTrail/us-east-1/2024/05/01/log-{hour}{part}.json.gz"
                content = json.dumps({"Records": [{"eventID": f"{hour}{part}"}]}).encode()
                write(HERE / name, content)
                logs.append({
                    "s3Bucket": BUCKET,
                    "s3Object": name,
                    "hashValue": hashlib.sha256(content).hexdigest(),
                    "hashAlgorithm": "SHA-256",
                })
            name = f"{PREFIX}/CloudTrail-Digest/us-east-1/2024/05/01/digest-{hour}.json.gz"
            digest = {
                "awsAccountId": "123456789012",
                "digestStartTime": f"2024-05-01T{hour:02}:00:00Z",
                "digestEndTime": end,
                "digestS3Bucket": BUCKET,
                "digestS3Object": name,
                "digestPublicKeyFingerprint": "test",
                "digestSignatureAlgorithm": "SHA256withRSA",
                "previousDigestS3Bucket": before and BUCKET,
                "previousDigestS3Object": before and before["object"],
                "previousDigestHashValue": before and before["hash"],
                "previousDigestHashAlgorithm": before and "SHA-256",
                "previousDigestSignature": before and before["signature"],
                "logFiles": logs,
            }
            content = json.dumps(digest).encode()
            write(HERE / name, content)
            text = "\n".join([
                end,
                f"{BUCKET}/{name}",
                hashlib.sha256(content).hexdigest(),
                before["signature"] if before else "null",
            ])
            signed = subprocess.run(
                ["openssl", "dgst", "-sha256", "-sign", key],
                input=text.encode(), capture_output=True, check=True,
            )
            before = {
                "object": name,
                "hash": hashlib.sha256(content).hexdigest(),
                "signature": signed.stdout.hex(),
            }
        (HERE / f"{name}.signature").write_text(before["signature"] + "\n")


if __name__ == "__main__":
    main()
