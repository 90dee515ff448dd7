"""How an address, and an address with its port, is commonly written: expressions, each of them bounded."""

import re
from typing import Final, NamedTuple

V4 = r"(?:\d{1,3}\.){3}\d{1,3}"
MASKED = r"[\dxX*]{1,3}(?:\.[\dxX*]{1,3}){3}"
V6 = r"(?:[0-9a-fA-F]{0,4}:){2,8}(?:[0-9a-fA-F]{1,4}|(?:\d{1,3}\.){3}\d{1,3})?(?:%\w{1,16})?"
#: One that is no time of day: with :: or with all its groups.
STRICT_V6 = (
    r"(?:[0-9a-fA-F]{1,4}:){7}[0-9a-fA-F]{1,4}(?:%\w{1,16})?"
    r"|(?:[0-9a-fA-F]{1,4}(?::[0-9a-fA-F]{1,4}){0,6})?::(?:[0-9a-fA-F]{1,4}(?::[0-9a-fA-F.]{1,15}){0,6})?(?:%\w{1,16})?"
)
NAME = r"[A-Za-z][\w-]{0,62}(?:\.[A-Za-z0-9][\w-]{0,62}){0,8}"
HOST = rf"\[[^\[\]\s]{{0,64}}\]|{V4}|{MASKED}|{NAME}|\*|\+"


class Pair(NamedTuple):
    """What writes a port, mostly with its address.

    ``needed``: a piece that the line must have in lower case; ``first``: an expression that must have a match in it, so
    too, where the other is slow to say no.
    """

    needed: str
    pattern: re.Pattern[str]
    first: re.Pattern[str] | None = None


PAIRS: Final = (
    # docker: 0.0.0.0:8080:172.18.0.2:80/tcp
    Pair(
        ":",
        re.compile(
            rf"(?<![\w.])(?P<address>{V4}|\[[0-9a-fA-F:]{{2,46}}\]):(?P<port>\d{{1,5}}):[\d.]{{7,15}}:\d{{1,5}}(?:"
            rf"/(?P<proto>tcp|udp))?"
        ),
        re.compile(r":\d{1,5}:[\d.]{7}"),
    ),
    # (host='127.0.0.1', port=80)
    Pair("host=", re.compile(rf"host=[\"']?(?P<address>{V4}|{NAME})[\"']?, ?port=[\"']?(?P<port>\d{{1,5}})")),
    # Dart: address = 127.0.0.1, port = 64655; address: "127.0.0.1", port: 3012
    Pair(
        "address",
        re.compile(
            rf"\baddress[\"']?\s{{0,2}}[=:]\s{{0,2}}[\"'\[]{{0,2}}(?P<address>{V4}|{STRICT_V6}|{NAME}|\*)[\"'\]]{{0,2}}[,;]?\s"
            rf"{{0,2}}[\"']?port[\"']?\s{{0,2}}[=:]\s{{0,2}}[\"']?(?P<port>\d{{1,5}})\b",
            re.IGNORECASE,
        ),
    ),
    # Go: listen udp serverip:27023
    Pair(
        "p ",
        re.compile(
            rf"\b(?:listen|dial) (?P<proto>tcp|udp)[46]? (?P<address>{NAME}):(?P<port>\d{{1,5}})(?=[:\s,;\"')\]]|$)"
        ),
    ),
    # listen udp0.0.0.0:1053, as a translation without blanks has it
    Pair("p", re.compile(rf"(?:\b|(?<=[^\x00-\x7f]))(?P<proto>tcp|udp)[46]?(?P<address>{V4}):(?P<port>\d{{1,5}})\b")),
    # Tomcat: http-nio-8080, ajp-nio-127.0.0.1-8009
    Pair(
        "-nio",
        re.compile(
            rf"\b(?:https?|ajp)-(?:\w{{1,8}}-)?nio2?-(?:(?P<address>{V4})-)?(?P<port>\d{{2,5}})(?![\w-])", re.IGNORECASE
        ),
    ),
    # SQL Server: [ 'any' <ipv4> 1433]
    Pair("<ipv", re.compile(r"<ipv[46]> (?P<port>\d{1,5})\]")),
    # b'127.0.0.1':1080
    Pair(
        ":",
        re.compile(rf"[\"'](?P<address>{V4}|{STRICT_V6})[\"']:(?P<port>\d{{1,5}})\b"),
        re.compile(r"[\"']:\d"),
    ),
    # bash: /dev/tcp/127.0.0.1/9215
    Pair("/dev/", re.compile(rf"/dev/(?P<proto>tcp|udp)/(?P<address>{V4}|{STRICT_V6}|{NAME})/(?P<port>\d{{1,5}})\b")),
    Pair("http.server", re.compile(r"\bhttp\.server (?P<port>\d{2,5})\b")),
    # Elasticsearch: bind to [9200-9300]
    # Hadoop: binding to [node1:8031], a name without a dot
    Pair("to [", re.compile(rf"\b(?:bind|listen|connect)(?:ing)? to \[(?P<address>{NAME}|{V4}):(?P<port>\d{{1,5}})\]")),
    Pair("to [", re.compile(r"\bbind(?:ing)? to \[(?P<port>\d{2,5})(?:-\d{2,5})?\]")),
    # ('127.0.0.1', 8000), ["0.0.0.0", 8000], ('::1', 29416, 0, 0), (u'', 80)
    Pair(",", re.compile(r"[(\[]\s{0,2}u?[\"'](?P<address>[^\"'\s]{0,64})[\"']\s{0,2},\s{0,2}(?P<port>\d{1,5})\b")),
    # sin_port=htons(80), sin_addr=inet_addr("0.0.0.0"); inet_pton(AF_INET6, "::1", …)
    Pair(
        "htons(",
        re.compile(
            r"sin6?_port=htons\((?P<port>\d{1,5})\)(?:, sin_addr=inet_addr\(\"(?P<address>[^\"]{0,46})\"\)"
            r"|[^\"]{0,60}inet_pton\(AF_INET6, \"(?P<a2>[^\"]{0,46})\")?"
        ),
    ),
    # on address [localhost] and port [8507]; "192.0.2.153" port 4563; 0.0.0.0, port 21; IP: '0.0.0.0', port 80
    Pair(
        "port",
        re.compile(
            rf"[\"'`\[(]?(?P<address>{V4}|localhost|::1?|\*|{V6}|\[[0-9a-fA-F:.]{{2,46}}\])[\"'`\])]{{0,2}}(?:,"
            rf"| and)?\s{{1,2}}(?:with )?(?:tcp |udp )?port:?\s{{0,2}}[\[\"'(]?(?P<port>\d{{1,5}})\b",
            re.IGNORECASE,
        ),
    ),
    # port 25 for address 0.0.0.0; port 137 socket_addr = 0.0.0.0; port 51413 on 0.0.0.0; port 80 of 0.0.0.0
    Pair(
        "port",
        re.compile(
            rf"\bport[ :=]{{1,2}}[\"'\[(]?(?P<port>\d{{1,5}})[\"'\])]?,?\s(?:for|on|of|at|socket_addr ="
            rf"|in|and)\s?(?:ip|host|address|interface|the)?[ :=]{{0,2}}[\"'\[]?(?P<address>{V4}|localhost"
            rf"|::1?|{V6})(?!\w|:[\w:])",
            re.IGNORECASE,
        ),
    ),
    # listen(*, 143), bind(0.0.0.0, 143), bind(0.0.0.0:500)
    Pair("(", re.compile(rf"\b(?:listen|bind)\((?P<address>\*|{V4}|{V6}|localhost), ?(?P<port>\d{{1,5}})")),
    # psql, in its languages: "127.0.0.1", порту 9207; »::1«, Port 5434; « ::1 », port 5434
    Pair(
        ",",
        re.compile(
            rf"(?P<address>{V4}|{STRICT_V6}|localhost)[\"'»«”“」\s]{{1,2}},\s?(?:po\w{{2,5}}|порт\w{{0,3}}|端口|ポート|포트|連接埠|埠)"
            rf"\s?(?P<port>\d{{1,5}})\b",
            re.IGNORECASE,
        ),
        re.compile(r",\s?(?:po|порт|端口|ポート|포트|連接|埠)"),
    ),
    # Port already in use 1080
    Pair("in use ", re.compile(r"\bport (?:is |was )?already in use (?P<port>\d{2,5})\b", re.IGNORECASE)),
    # netstat -tlnp | grep 8081
    Pair(
        "| ",
        re.compile(
            r"\b(?:netstat|ss|lsof)\b[^|]{0,40}\|\s?(?:sudo )?(?:e?grep|findstr)(?: -\w{1,3})? "
            r"[\"':]{0,3}(?P<port>\d{2,5})\b",
            re.IGNORECASE,
        ),
    ),
    # RabbitMQ: {could_not_start_listener,"::",5672,eaddrinuse}
    Pair("listener,", re.compile(r"listener,\s?\"(?P<address>[^\"\s]{0,46})\",\s?(?P<port>\d{1,5})\b")),
    # nc -l -p 80
    Pair("nc ", re.compile(r"\bnc(?:at)? (?:-\w{1,4} ){0,3}-\w{0,3}[lp]\w{0,3} (?P<port>\d{2,5})\b")),
    # NSD, Unbound: ::@53, 127.0.0.1@8953
    Pair("@", re.compile(rf"(?<![\w.:])(?P<address>{V4}|{V6})@(?P<port>\d{{1,5}})\b")),
    # Java's debugger: address=5009, address=*:5005
    Pair(
        "address=",
        re.compile(
            rf"\baddress=(?:(?P<address>\*|{V4}|\[{V6}\]|{NAME}):)?(?P<port>\d{{2,5}})(?![\w.:])", re.IGNORECASE
        ),
    ),
    # xrdp: g_tcp_bind(7, 3391)
    Pair("p_bind(", re.compile(r"\bg_(?P<proto>tcp|udp)_bind\(\d{1,4}, (?P<port>\d{1,5})\)")),
    # BIND: 192.0.2.1#53, ::1#53
    Pair("#", re.compile(rf"(?<![\w.:])(?P<address>{V4}|{V6})#(?P<port>\d{{1,5}})\b")),
    # multiaddr: /ip4/0.0.0.0/tcp/4001; a name in it is no address
    Pair("/ip", re.compile(rf"/ip[46]/(?P<address>{V4}|{V6})/(?P<proto>tcp|udp)/(?P<port>\d{{1,5}})\b")),
    Pair("p/", re.compile(r"/(?P<proto>tcp|udp)/(?P<port>\d{1,5})\b(?!\.\d)")),
    # WS 8090 and HTTP 8091
    Pair(" ", re.compile(r"\b(?:HTTPS?|WSS?|gRPC) (?P<port>\d{4,5})\b(?![.:-])")),
    # Ruby: bind(2) for "www.example.com" port 3000
    Pair(" port ", re.compile(rf"[\"'](?P<address>{NAME})[\"'] port (?P<port>\d{{1,5}})\b")),
    # zeus server -p 80
    Pair("-p", re.compile(r"(?<=\s)(?:-p|-P|--port)[ =](?P<port>\d{2,5})(?![\w:/.-])")),
    # the default port (8000), el puerto usado por defecto (8000)
    Pair(
        " (",
        re.compile(
            r"\b(?:port|puerto|porta|poort)(?: [^\W\d]{2,12}){0,4} \((?:tcp |udp )?(?P<port>\d{2,5})\)", re.IGNORECASE
        ),
    ),
    # Ruby, Elixir, Erlang: {port,8080}, [port: 4000], {{127,0,0,1},8080}
    Pair("}", re.compile(r"\}\s{0,2},\s{0,2}(?P<port>\d{2,5})\s{0,2}\}")),
    Pair("{port", re.compile(r"\{port,\s{0,12}(?P<port>\d{1,5})")),
)
