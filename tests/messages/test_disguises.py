"""The same message, as terminals, logs, mail and encodings pass it on."""

import json

import pytest

from inuse.messages import recognise

NGINX = "nginx: [emerg] bind() to 0.0.0.0:80 failed (98: Address already in use)"
NODE = "Error: listen EADDRINUSE: address already in use :::3000"


def first(text):
    found = recognise(text)
    return found and (found[0].kind, found[0].proto, found[0].address, found[0].port, found[0].device)


EXPECTED = ("addr_in_use", "tcp", "0.0.0.0", 80, None)


@pytest.mark.parametrize(
    "text",
    [
        f"\x1b[1;31m{NGINX}\x1b[0m",
        NGINX.replace("Address", "\x1b[31mAddress\x1b[39m"),
        f"\x1b]8;;https://example.org\x07{NGINX}\x1b]8;;\x07",
        f"[31m{NGINX}[0m",
        f"2026-11-22T10:00:00.123456+01:00 web1 nginx[812]: {NGINX}",
        f"Nov 22 10:00:00 web1 systemd[1]: {NGINX}",
        f"proxy_1  | {NGINX}",
        f"> {NGINX}",
        f"- `{NGINX}`",
        f"| start | `{NGINX}` | nothing |",
        f"```\n{NGINX}\n```\n",
        json.dumps({"level": "error", "msg": NGINX}),
        json.dumps({"log": json.dumps({"msg": f"start\n{NGINX}\nend"})}),
        json.dumps({"log": f"start\r\n{NGINX}\r\n"}),
        f"\r\n{NGINX}\r\n",
        NGINX.replace(" ", "\t"),
        NGINX.replace(" ", "\u00a0"),
        NGINX.replace(" already", "\u200b already"),
        NGINX.replace("Address already", "Address\nalready"),
        NGINX.replace("Address already", "Address al\nready"),
        NGINX.replace("in use", "in \n> use"),
        NGINX.upper().replace("NGINX: [EMERG] BIND()", "nginx: [emerg] bind()"),
    ],
)
def test_disguise_hides_nothing(text):
    assert first(text) == EXPECTED


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-8-sig"])
def test_marked_encodings_are_read(encoding):
    mark = {"utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}.get(encoding, b"")
    data = mark + f"größer\r\n{NGINX}\r\n".encode(encoding)
    assert first(data) == EXPECTED
    assert recognise(data)[0].line == 2


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "cp850"])
@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (
            "bind: Der Zugriff auf einen Socket war aufgrund der Zugriffsrechte des Sockets unzulässig.",
            "forbidden_range",
        ),
        ("bind: Sólo se permite un uso de cada dirección de socket (protocolo/dirección de red/puerto)", "addr_in_use"),
        ("OSError: [Errno 98] Adresse déjà utilisée", "addr_in_use"),
        ("Fehler 633: Das Modem (oder ein anderes Verbindungsgerät) wird bereits verwendet", "modem_in_use"),
        ("could not open port 'COM3': PermissionError(13, 'Accès refusé.', None, 5)", "serial_denied"),
    ],
)
def test_western_encodings_are_read(text, encoding, kind):
    assert [one.kind for one in recognise(text.encode(encoding))] == [kind]


@pytest.mark.parametrize(
    "text",
    [
        "bind: Address already in use",
        "bind: Only one usage of each socket address (protocol/network address/port) is normally permitted",
        "bind: An attempt was made to access a socket in a way forbidden by its access permissions",
    ],
)
def test_sentence_may_be_broken_at_any_column(text):
    whole = recognise(text)[0]
    for column in range(6, len(text)):
        found = recognise(f"{text[:column]}\n{text[column:]}")
        assert [one.kind for one in found] == [whole.kind], column


def test_typographic_apostrophe():
    assert first("bind: Can’t assign requested address")[0] == "addr_not_available"


def test_endpoint_after_the_error():
    frame = "    at Server.setupListenHandle (node:net:1817:16)"
    text = f"{NODE.rpartition(' ')[0]}\n{frame}\n  address: '127.0.0.1',\n  port: 4001\n"
    assert first(text) == ("addr_in_use", "tcp", "127.0.0.1", 4001, None)


def test_endpoint_before_the_error():
    text = (
        "INFO listening on 0.0.0.0:9118\n"
        + "\tat a.b.C.d(E.java:12)\n" * 10
        + "java.net.BindException: Address already in use\n"
    )
    assert first(text) == ("addr_in_use", "tcp", "0.0.0.0", 9118, None)


def test_several_ports_are_several_entries_the_first_first():
    text = "\n".join(
        f"nginx: [emerg] bind() to 0.0.0.0:{port} failed (98: Address already in use)" for port in (443, 80, 443, 80)
    )
    assert [(one.port, one.line) for one in recognise(text)] == [(443, 1), (80, 2)]
    ports = recognise(
        "Several ports (8005, 8080, 8009) required by Tomcat v9.0 Server at localhost are already in use."
    )
    assert [one.port for one in ports] == [8005, 8080, 8009]


def test_retries_are_one_entry_with_the_line_of_the_first():
    text = "starting\n" + f"2026/11/22 10:00:00 [emerg] 12#12: {NGINX}\n" * 500
    assert [(one.port, one.line) for one in recognise(text)] == [(80, 2)]


def test_bare_repetition_takes_part_in_the_error_that_names_the_port():
    bare = "bind: Address already in use\n"
    text = f"{bare}0: Trying to bind fd 17 to <192.0.2.211:4597>: errno=98\n{bare}"
    assert [(one.port, one.line) for one in recognise(text)] == [(4597, 1)]


def test_guess_stays_a_guess():
    found = recognise("TCP/UDP: Socket bind failed on local address [undef]: Address already in use")[0]
    assert (found.proto, found.port) == (None, None)
    assert (found.guess.proto, found.guess.port) == ("udp", 1194)
    assert found.guess.why
    assert found.programs == ("openvpn",)


def test_text_is_the_line_without_colours_and_no_longer_than_it_may_be():
    found = recognise("first\n\x1b[31m" + "x" * 1000 + f" {NODE}\x1b[0m\n")[0]
    assert found.line == 2
    assert len(found.text) == 400
    assert "\x1b" not in found.text


def test_privileged_or_forbidden():
    assert first("Error: listen EACCES: permission denied 0.0.0.0:443")[0] == "permission_privileged"
    assert first("Error: listen EACCES: permission denied 0.0.0.0:8443")[0] == "forbidden_range"
    assert first("Error: listen EACCES: permission denied 0.0.0.0:443\n  errno: -4092,")[0] == "forbidden_range"


@pytest.mark.parametrize("number", [10013, 10048, 10049])
def test_a_process_is_no_error(number):
    for line in (f"[emerg] {number}#{number}: {NGINX}", f"Nov 22 10:00:00 web1 nginx[{number}]: {NGINX}"):
        assert [one.kind for one in recognise(line)] == ["addr_in_use"]
    assert recognise(f"[error] {number}#{number}: no live upstreams") == []
    assert recognise(f"server listening on port {number}") == []


@pytest.mark.parametrize(
    ("encoding", "text", "kind", "port"),
    [
        (
            "cp1251",
            "Обычно разрешается только одно использование адреса сокета (10048)\nпорт 8080",
            "addr_in_use",
            8080,
        ),
        ("cp866", "bind: попытка доступа к сокету методом, запрещенным правами доступа", "forbidden_range", None),
        (
            "gbk",
            "listen tcp :28888: bind: 通常每个套接字地址(协议/网络地址/端口)只允许使用一次。",
            "addr_in_use",
            28888,
        ),
        ("big5", "一次只能用一個通訊端位址 (通訊協定/網路位址/連接埠)。 (localhost:5261)", "addr_in_use", 5261),
        (
            "cp932",
            "エラー 633: モデム (またはほかの接続デバイス) は既に使用中か、正しく構成されていません。",
            "modem_in_use",
            None,
        ),
        ("euc_jp", "bind: アドレスは既に使用中です", "addr_in_use", None),
        ("cp949", "bind: 주소가 이미 사용 중입니다", "addr_in_use", None),
    ],
)
def test_encodings_before_unicode_are_read(encoding, text, kind, port):
    around = ("größer als 0\n" * 3000).encode("ascii", "replace")
    for data in (text.encode(encoding), around + text.encode(encoding) + b"\n" + around):
        found = recognise(data)
        assert [(one.kind, one.port) for one in found] == [(kind, port)]
        assert found[0].text == recognise(text)[0].text


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        (
            "Unable to create listener: Error listen tcp4 127.0.0.\n1:31113: bind: address already in use",
            ("127.0.0.1", 31113),
        ),
        (
            "the server could not be started since it could not listen on [::1\n]:8443: bind: address already in use",
            ("::1", 8443),
        ),
        (
            "Nov 22 10:00:00 web1 starting the server on http://127.0.0.1\n:9090: bind: address already in use",
            ("127.0.0.1", 9090),
        ),
    ],
)
def test_endpoint_may_be_broken(text, endpoint):
    found = recognise(text)[0]
    assert (found.address, found.port) == endpoint


def guess(text):
    found = recognise(text)[0]
    return found.app, found.guess and found.guess.port


def test_program_is_the_one_that_printed_it():
    bare = "bind: Address already in use\n"
    assert guess(f"Nov 22 10:00:00 web1 nginx[812]: {bare}") == ("nginx", 80)
    assert guess(f"mosquitto_1  | {bare}") == ("mosquitto", 1883)
    assert guess(f"nginx: {bare}") == ("nginx", 80)
    # A variable, a file, a folder, another program's line.
    assert guess(f"    with ServerClass(addr, HandlerClass) as httpd:\n{bare}") == (None, None)
    assert guess(f"/home/anna/nginx/redis.conf: {bare}") == (None, None)
    assert guess(f"redis = connect_to(nginx.conf)\n{bare}") == (None, None)
    assert guess(f"Nov 22 10:00:00 web1 nginx[812]: reload\nNov 22 10:00:01 web1 shop[99]: {bare}") == (None, None)
    assert guess("   NicoNicoServer.RunServer()\nSocketException: Address already in use") == (None, None)


def test_guess_says_which_port_of_which_program():
    found = recognise("TCP/UDP: Socket bind failed on local address [undef]: Address already in use")[0]
    assert found.guess.why.format(**found.guess.values) == "openvpn takes 1194/udp unless told otherwise"
    found = recognise("unbound[77]: error: can't bind socket: Address already in use")[0]
    assert found.guess.why.format(**found.guess.values) == "unbound takes port 53 unless told otherwise"


@pytest.mark.parametrize(
    "text",
    [
        "const WSAEADDRINUSE = 10048",
        "WSAEADDRINUSE = WSABASEERR + 48,",
        "class Errno(IntEnum):\n    EADDRINUSE = 98\n    EACCES = 13",
        "    EADDRINUSE => 'Address already in use',",
        "ERRORS = {98: 'Address already in use', 13: 'Permission denied'}",
        "switch (error) {\n  case 10048: return retry();\n  case WSAEACCES: break;\n}",
        "if (error.errno == 10048) {",
        "  TCP    0.0.0.0:10048    0.0.0.0:0    LISTENING    10013",
        '10.0.0.1 - - [22/Nov/2026:10:00:00 +0000] "GET /?q=address+already+in+use HTTP/1.1" 200 12 "-" "curl/8"',
        "https://example.org/questions/4711/bind-address-already-in-use",
    ],
)
def test_name_or_number_alone_is_no_error(text):
    assert recognise(text) == []
