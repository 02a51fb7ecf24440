"""A receiver of OTLP that shares no code with the observer: OpenTelemetry's own messages, by gRPC and HTTP.

otlp_receiver.py [--grpc PORT] [--http PORT] [--ca FILE --cert FILE --key FILE] [--behaviour FILE]

Listens on 127.0.0.1, at ports of its choice where they are 0, and prints {"listening": {"grpc": PORT, "unpacked": PORT, "http":
PORT}}; at the second one gRPC is refused where it is compressed, which a server does not see otherwise: the library unpacks it, and
keeps `grpc-encoding` to itself. Then each request as one JSON object a line: {"protocol", "signal", "headers", "gzip" (of HTTP),
"bytes", "items", "answer", "request"}, where the protocol is the port's name and the request is in the JSON mapping with the proto's own field names, and the points of exponential histograms have their percentiles
beside them. With --ca it speaks TLS, and wants certificates. The behaviour is read anew for each request: an object with "grpc"
and "http", each of which may have "code" (a gRPC code's name or an HTTP status), "retry" (seconds), "partial" (items that are
rejected), "sleep" (seconds) and "echo" (the name of a header that is repeated in the message).
"""

import argparse
import gzip
import json
import math
import ssl
import sys
import threading
import time
from concurrent import futures
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2, logs_service_pb2_grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

SIGNALS = {
    "logs": (logs_service_pb2.ExportLogsServiceRequest, logs_service_pb2.ExportLogsServiceResponse, "rejected_log_records"),
    "metrics": (metrics_service_pb2.ExportMetricsServiceRequest, metrics_service_pb2.ExportMetricsServiceResponse, "rejected_data_points"),
    "traces": (trace_service_pb2.ExportTraceServiceRequest, trace_service_pb2.ExportTraceServiceResponse, "rejected_spans"),
}
PRINTING = threading.Lock()


def say(line):
    with PRINTING:
        print(json.dumps(line), flush=True)


def behaviour(path, protocol):
    if path is None:
        return {}
    with open(path, encoding="utf-8") as file:
        return json.load(file).get(protocol) or {}


def points(metric):
    return getattr(metric, metric.WhichOneof("data")).data_points


def count(signal, request):
    if signal == "logs":
        return sum(len(scope.log_records) for of in request.resource_logs for scope in of.scope_logs)
    if signal == "traces":
        return sum(len(scope.spans) for of in request.resource_spans for scope in of.scope_spans)
    return sum(len(points(metric)) for of in request.resource_metrics for scope in of.scope_metrics for metric in scope.metrics)


def percentile(point, share):
    """By OpenTelemetry's definition of the buckets alone: the middle of the bucket with that rank, within the extremes."""
    base = 2.0 ** (2.0 ** -point.scale)
    rank = max(1, math.ceil(share * point.count))
    if rank == point.count:
        return point.max
    seen = point.zero_count
    if rank <= seen:
        return 0.0
    for index, within in enumerate(point.positive.bucket_counts, point.positive.offset):
        seen += within
        if rank <= seen:
            return min(max(base ** (index + 0.5), point.min), point.max)
    return point.max


def told(signal, request):
    """The request as JSON has it; histograms with their percentiles."""
    message = json_format.MessageToDict(request, preserving_proto_field_name=True)
    if signal == "metrics":
        for of, of_dict in zip(request.resource_metrics, message["resource_metrics"]):
            for scope, scope_dict in zip(of.scope_metrics, of_dict["scope_metrics"]):
                for metric, metric_dict in zip(scope.metrics, scope_dict["metrics"]):
                    if metric.WhichOneof("data") == "exponential_histogram":
                        both = zip(points(metric), metric_dict["exponential_histogram"]["data_points"])
                        for point, point_dict in both:
                            point_dict["percentiles"] = {str(q): percentile(point, q / 100) for q in (50, 90, 99)}
    return message


class Receiver:
    """What both protocols do with a request."""

    def __init__(self, path):
        self.path = path

    def take(self, protocol, signal, request, headers, is_gzip, size):
        do = behaviour(self.path, protocol)
        time.sleep(do.get("sleep", 0))
        answer = SIGNALS[signal][1]()
        items = count(signal, request)
        words = "as it is told to" + (": " + headers.get(do["echo"], "") if "echo" in do else "")
        if "partial" in do:
            setattr(answer.partial_success, SIGNALS[signal][2], do["partial"])
            answer.partial_success.error_message = words
        say({
            "protocol": protocol, "signal": signal, "headers": headers, "gzip": is_gzip, "bytes": size, "items": items,
            "answer": do.get("code", "OK"), "at": time.monotonic(), "request": told(signal, request),
        })
        return do, answer, words


def varint(number):
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def field(number, content):
    return varint(number << 3 | 2) + varint(len(content)) + content


def retry_info(seconds):
    """A google.rpc.Status with a google.rpc.RetryInfo, put together by hand."""
    delay = b"\x08" + varint(seconds)
    any_ = field(1, b"type.googleapis.com/google.rpc.RetryInfo") + field(2, field(1, delay))
    return b"\x08\x08" + field(3, any_)


def export(receiver, signal, protocol):
    """The method of a signal."""

    def method(_self, request, context):
        headers = {key: value for key, value in context.invocation_metadata() if isinstance(value, str)}
        do, answer, words = receiver.take(protocol, signal, request, headers, None, request.ByteSize())
        if "code" in do:
            if "retry" in do:
                context.set_trailing_metadata((("grpc-status-details-bin", retry_info(do["retry"])),))
            context.abort(grpc.StatusCode[do["code"]], words)
        return answer

    return method


# A set of algorithms, by their numbers, which has none but the first: as it is.
UNPACKED = ("grpc.compression_enabled_algorithms_bitset", 1)


def serve_grpc(receiver, port, tls, protocol="grpc", options=()):
    server = grpc.server(futures.ThreadPoolExecutor(8), options=[("grpc.so_reuseport", 0), *options])
    for signal, base, add in (
        ("logs", logs_service_pb2_grpc.LogsServiceServicer, logs_service_pb2_grpc.add_LogsServiceServicer_to_server),
        ("metrics", metrics_service_pb2_grpc.MetricsServiceServicer, metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server),
        ("traces", trace_service_pb2_grpc.TraceServiceServicer, trace_service_pb2_grpc.add_TraceServiceServicer_to_server),
    ):
        add(type(signal, (base,), {"Export": export(receiver, signal, protocol)})(), server)
    address = f"127.0.0.1:{port}"
    if tls:
        ca, cert, key = (open(path, "rb").read() for path in tls)
        credentials = grpc.ssl_server_credentials([(key, cert)], ca, require_client_auth=True)
        port = server.add_secure_port(address, credentials)
    else:
        port = server.add_insecure_port(address)
    server.start()
    return server, port


def handler(receiver):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            size, signal = len(body), self.path.rsplit("/", 1)[1]
            is_gzip = self.headers.get("content-encoding") == "gzip"
            body = gzip.decompress(body) if is_gzip else body
            request = SIGNALS[signal][0].FromString(body)
            headers = {key.lower(): value for key, value in self.headers.items()} | {"path": self.path}
            do, answer, words = receiver.take("http", signal, request, headers, is_gzip, size)
            # google.rpc.Status for errors.
            content = answer.SerializeToString() if "code" not in do else field(2, words.encode())
            self.send_response(do.get("code", 200))
            if "retry" in do:
                self.send_header("Retry-After", str(do["retry"]))
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_arguments):
            pass

    return Handler


def serve_http(receiver, port, tls):
    server = ThreadingHTTPServer(("127.0.0.1", port), handler(receiver))
    server.daemon_threads = True
    if tls:
        ca, cert, key = tls
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=ca)
        context.load_cert_chain(cert, key)
        context.verify_mode = ssl.CERT_REQUIRED
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--grpc", type=int, default=0)
    parser.add_argument("--http", type=int, default=0)
    for name in ("--ca", "--cert", "--key", "--behaviour"):
        parser.add_argument(name)
    arguments = parser.parse_args()
    tls = (arguments.ca, arguments.cert, arguments.key) if arguments.ca else None
    receiver = Receiver(arguments.behaviour)
    server, grpc_port = serve_grpc(receiver, arguments.grpc, tls)
    _unpacked, unpacked_port = serve_grpc(receiver, 0, tls, "unpacked", [UNPACKED])
    http_port = serve_http(receiver, arguments.http, tls)
    say({"listening": {"grpc": grpc_port, "unpacked": unpacked_port, "http": http_port}})
    server.wait_for_termination()
    return 0


if __name__ == "__main__":
    sys.exit(main())
