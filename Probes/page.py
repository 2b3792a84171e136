# Serves a page of 1,000 paragraphs, each the digest of its number, that takes two seconds and more: page PORT
import hashlib, http.server, sys, time


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        for number in range(1000):
            self.wfile.write(b"<p>%s</p>\n" % hashlib.sha256(b"%d" % number).hexdigest().encode())
            if number % 10 == 0:
                time.sleep(0.02)

    def log_message(self, *words):
        pass


http.server.ThreadingHTTPServer(("", int(sys.argv[1])), Page).serve_forever()
