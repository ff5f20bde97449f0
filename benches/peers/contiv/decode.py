"""What Contiv's Python server did with a node's statistics: decode.py BODY ROUNDS, prints pairs and CPU ns of a round.

The body is decoded by the standard library, and each endpoint's services are merged as the server's last form for this
shape did: In from the first entry that is not the endpoint's own, Out from the endpoint's own. The server answered for
one service of one endpoint and decoded the whole body for each answer; here one decoding serves all of them.
"""
import json
import sys
import time


def pair(endpoint_ip, service_ip, entries):
    """One pair of an endpoint and a provider, as the server answered it."""
    provider_ip = next((ip for ip in entries if ip != endpoint_ip), service_ip)
    received, sent = entries.get(provider_ip, {}), entries.get(endpoint_ip, {})
    return {
        "EndpointIP": endpoint_ip,
        "ServiceIP": service_ip,
        "ProviderIP": provider_ip,
        "BytesIn": int(received.get("BytesIn", 0)),
        "BytesOut": int(sent.get("BytesOut", 0)),
        "PacketsIn": int(received.get("PacketsIn", 0)),
        "PacketsOut": int(sent.get("PacketsOut", 0)),
    }


def decode(body):
    pairs = []
    for endpoint in json.loads(body).values():
        ip = endpoint["EndpointIP"]
        for service_ip, service in endpoint["SvcStats"].items():
            pairs.append(pair(ip, service_ip, service["ProvStats"]))
    return pairs


def main():
    path, rounds = sys.argv[1], int(sys.argv[2])
    with open(path, "rb") as file:
        body = file.read()
    started = time.thread_time_ns()
    for _ in range(rounds):
        pairs = decode(body)
    print(len(pairs), (time.thread_time_ns() - started) // rounds)


if __name__ == "__main__":
    main()
