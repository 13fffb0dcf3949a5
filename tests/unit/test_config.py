"""Settings: where they come from, and what is said about wrong ones."""

from pathlib import Path

import pytest

from minicelery.address import SentinelAddress, parse_sentinels
from minicelery.config import Config, variables, without_password
from minicelery.errors import ConfigError
from minicelery.turns import Turns


def test_without_anything_the_defaults_hold() -> None:
    assert Config.from_env({}) == Config()


def test_the_plain_names_are_read() -> None:
    config = Config.from_env(
        {
            "REDIS_HOST": "redis.example",
            "REDIS_PORT": "7000",
            "WORKER_CONCURRENCY": "9",
            "API_HOST": "0.0.0.0",
            "API_PORT": "80",
        }
    )

    assert config.redis_url == "redis://redis.example:7000/0"
    assert (config.worker_concurrency, config.api_host, config.api_port) == (9, "0.0.0.0", 80)


def test_a_url_wins_over_host_and_port() -> None:
    environ = {"REDIS_HOST": "a", "MINICELERY_REDIS_URL": "rediss://b:1/2"}

    assert Config.from_env(environ).redis_url == "rediss://b:1/2"


def test_a_password_is_put_into_the_url_safely() -> None:
    environ = {"REDIS_HOST": "::1", "REDIS_PASSWORD": "p@ss/word"}

    assert Config.from_env(environ).redis_url == "redis://:p%40ss%2Fword@[::1]:6379/0"


def test_the_environment_wins_over_a_dotenv_file_and_keywords_over_both(tmp_path: Path) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_text("MINICELERY_LEASE=3\nMINICELERY_GRACE=4\nWORKER_CONCURRENCY=5\n")

    config = Config.from_env({"MINICELERY_GRACE": "6", "WORKER_CONCURRENCY": "7"}, dotenv, worker_concurrency=8)

    assert (config.lease, config.grace, config.worker_concurrency) == (3, 6, 8)


@pytest.mark.parametrize(
    ("environ", "url"),
    [
        ({"REDIS_HOST": "a"}, "redis://a:6379/0"),
        ({"REDIS_PORT": "7"}, "redis://localhost:7/0"),
        ({"REDIS_HOST": "a", "MINICELERY_REDIS_URL": "redis://c"}, "redis://c"),
        ({"REDIS_HOST": ""}, "redis://file:1/2"),
    ],
    ids=str,
)
def test_a_server_named_by_the_environment_wins_over_the_url_of_a_dotenv_file(
    tmp_path: Path, environ: dict[str, str], url: str
) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_text("MINICELERY_REDIS_URL=redis://file:1/2\n")

    assert Config.from_env(environ, dotenv).redis_url == url


def test_an_empty_variable_counts_as_not_set() -> None:
    assert Config.from_env({"REDIS_HOST": "", "MINICELERY_LEASE": ""}) == Config()


def test_all_faults_are_told_at_once_with_the_nearest_name() -> None:
    environ = {
        "MINICELERY_LEESE": "3",
        "MINICELERY_REDIS_URL": "http://x",
        "WORKER_CONCURRENCY": "0",
        "REDIS_PORT": "many",
        "MINICELERY_LOG_LEVEL": "LOUD",
    }

    with pytest.raises(ConfigError) as caught:
        Config.from_env(environ, pool_sise=3)

    text = "\n".join(caught.value.faults)
    assert len(caught.value.faults) == 6
    assert "MINICELERY_LEESE: nothing reads this variable; did you mean MINICELERY_LEASE?" in text
    assert "pool_sise: there is no setting of this name; did you mean pool_size?" in text
    assert "WORKER_CONCURRENCY='0': give a whole number from 1 to 1000" in text
    for name in ("MINICELERY_REDIS_URL", "WORKER_CONCURRENCY", "REDIS_PORT", "MINICELERY_LOG_LEVEL"):
        assert f"{name}=" in text


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://h", "use redis://"),
        ("redis://localhost:abc", "host or port is wrong"),
        ("redis://localhost:65536", "host or port is wrong"),
        ("redis://[::1", "host or port is wrong"),
        ("redis://h/zero", "is no database"),
        ("unix://relative.sock", "names no socket"),
        ("redis://h?foo=bar", "nothing reads its option 'foo'; give db, username, password or ssl_"),
        ("redis://h?socket_timeout=1", "nothing reads its option 'socket_timeout'"),
        ("redis://h?db=zero", "Invalid value for 'db'"),
        ("redis://h?ssl_keyfile=k", "ssl_keyfile"),
        ("rediss://h?ssl_cert_reqs=maybe", "maybe"),
        ("redis+sentinel://h:26379", "names no service"),
        ("redis+sentinel://h,/shop", "a comma between two sentinels"),
        ("redis+sentinel://h:0/shop", "host or port is wrong"),
        ("redis+sentinel://h:many/shop", "host or port is wrong"),
        ("redis+sentinel://::1/shop", "an IPv6 address in"),
        ("redis+sentinel://h/shop/zero", "what follows its service is no database"),
        ("redis+sentinel://h/shop?ssl_cert_reqs=none", "nothing reads its option 'ssl_cert_reqs'; give db, "),
        ("rediss+sentinel://h/shop", "use redis://"),
    ],
)
def test_a_url_that_could_not_be_connected_to_is_refused_with_the_reason(url: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason) as caught:
        Config.from_env({"MINICELERY_REDIS_URL": url})

    assert len(caught.value.faults) == 1


@pytest.mark.parametrize(
    "url",
    [
        "redis://h",
        "redis://user:p%40ss@[::1]:6379/0",
        "redis://h?db=3&username=u&password=p",
        "rediss://h:1/2?ssl_cert_reqs=none&ssl_ca_certs=/etc/ca.pem",
        "unix://:secret@/run/redis.sock?db=1",
        "redis+sentinel://user:p%40ss@a:26379,b,[::1]:3/shop/2?sentinel_password=s",
    ],
)
def test_a_url_that_can_be_connected_to_is_taken(url: str) -> None:
    assert Config.from_env({"MINICELERY_REDIS_URL": url}).redis_url == url


@pytest.mark.parametrize("host", ["redis:6379", "[::1", "h?x=1"])
def test_what_is_no_host_is_refused(host: str) -> None:
    with pytest.raises(ConfigError, match=r"REDIS_HOST=.*: give a host name or address"):
        Config.from_env({"REDIS_HOST": host})


@pytest.mark.parametrize(
    "url",
    [
        "http://:geheim@x",
        "redis://:geheim@x:abc",
        "redis://:geheim/2@x",
        "redis://:12?geheim@x",
        "redis://:12/geheim@x",
        "redis://:12#geheim@x",
        "redis://x:abc?password=geheim",
        "redis://x?pasword=geheim",
        "redis+sentinel://:geheim/2@x/shop",
        "redis+sentinel://:geheim#2@x/shop",
        "redis+sentinel://:geheim@x",
        "redis+sentinel://x/shop?sentinel_pasword=geheim",
    ],
)
def test_a_password_is_never_shown(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Config.from_env({"MINICELERY_REDIS_URL": url})

    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://h:1/0?db=2", "redis://h:1/0?db=2"),
        ("redis://u:geheim@h:1/0", "redis://u:***@h:1/0"),
        ("redis://h?db=1&password=geheim", "redis://h?db=1&password=***"),
        ("redis://h?pass%77ord=geheim", "redis://h?password=***"),
        ("rediss://:a@h?ssl_keyfile=/k&ssl_password=geheim", "rediss://:***@h?ssl_keyfile=/k&ssl_password=***"),
        ("unix:///run/s?password=geheim", "unix:///run/s?password=***"),
        ("redis+sentinel://u:geheim@a:1,b:2/shop", "redis+sentinel://u:***@a:1,b:2/shop"),
        (
            "redis+sentinel://a,b/s?sentinel_username=u&sentinel_password=x",
            "redis+sentinel://a,b/s?sentinel_username=u&sentinel_password=***",
        ),
    ],
)
def test_a_url_is_shown_without_its_passwords(url: str, shown: str) -> None:
    assert without_password(url) == shown


def test_a_url_of_sentinels_tells_whom_to_ask_for_which_service_and_how_to_log_in() -> None:
    address = parse_sentinels("redis+sentinel://user:p%40ss@a:1,b,[::1]:3/shop/2?sentinel_password=s")

    assert address == SentinelAddress(
        sentinels=(("a", 1), ("b", 26379), ("::1", 3)),
        service="shop",
        db=2,
        username="user",
        password="p@ss",
        sentinel_password="s",
    )


def test_a_replica_must_confirm_before_the_answer_counts_as_lost() -> None:
    environ = {"MINICELERY_DURABILITY": "replicated", "MINICELERY_REPLICA_TIMEOUT": "2"}

    with pytest.raises(ConfigError, match=r"MINICELERY_REPLICA_TIMEOUT=2: give less than the 2 s of MINICELERY_REDIS"):
        Config.from_env(environ)
    with pytest.raises(ConfigError, match="give fast or replicated"):
        Config.from_env({"MINICELERY_DURABILITY": "certain"})

    assert Config.from_env(environ, redis_timeout=6).confirm == 2
    assert Config.from_env({"MINICELERY_REPLICA_TIMEOUT": "9"}).confirm is None


def test_what_kubernetes_sets_for_a_service_of_our_name_is_no_fault() -> None:
    environ = {
        "MINICELERY_SERVICE_HOST": "10.0.0.1",
        "MINICELERY_SERVICE_PORT": "80",
        "MINICELERY_PORT": "tcp://10.0.0.1:80",
        "MINICELERY_PORT_80_TCP_ADDR": "10.0.0.1",
    }

    assert Config.from_env(environ) == Config()


def test_every_setting_has_a_variable() -> None:
    assert set(variables().values()) == set(Config.__dataclass_fields__)


def test_a_worker_cannot_be_told_to_serve_the_dead_letters() -> None:
    with pytest.raises(ConfigError, match="reserved"):
        Config.from_env({"MINICELERY_QUEUES": "default,dead_letter"})
    with pytest.raises(ConfigError, match="not a valid name"):
        Config().overridden(queues=("a b",))


def test_overrides_are_checked_like_the_rest() -> None:
    assert Config().overridden(grace=3, queues=["a", "b"]) == Config(grace=3, queues=("a", "b"))
    with pytest.raises(ConfigError, match="worker_concurrency=1001"):
        Config().overridden(worker_concurrency=1001)


@pytest.mark.parametrize("namespace", ["a b", "a:b", "x" * 65, "{a b}"])
def test_a_namespace_that_cannot_be_part_of_a_key_is_refused(namespace: str) -> None:
    with pytest.raises(ConfigError, match="use at most 64 of"):
        Config.from_env({"MINICELERY_NAMESPACE": namespace})


@pytest.mark.parametrize("origin", ["example.com", "https://example.com/path", "ftp://a"])
def test_what_is_no_origin_is_refused(origin: str) -> None:
    assert Config.from_env({"MINICELERY_ALLOWED_ORIGINS": "*, https://a:8443"}).allowed_origins == (
        "*",
        "https://a:8443",
    )
    with pytest.raises(ConfigError, match="is not an origin"):
        Config.from_env({"MINICELERY_ALLOWED_ORIGINS": origin})


def test_a_slow_redis_must_not_look_like_a_stuck_task() -> None:
    with pytest.raises(
        ConfigError, match=r"MINICELERY_STALL_LIMIT=6: give more than twice the 2 s of MINICELERY_REDIS"
    ):
        Config.from_env({"MINICELERY_STALL_LIMIT": "6"})

    assert Config.from_env({"MINICELERY_STALL_LIMIT": "7"}).stall_limit == 7


def test_queues_may_have_weights_and_are_then_told_by_their_names() -> None:
    config = Config.from_env({"MINICELERY_QUEUES": "high:6, default:3 ,tenant:7:1"})

    assert config.turns == Turns(("high", "default", "tenant:7"), (6, 3, 1))


@pytest.mark.parametrize("queues", ["high:6,default", "high:0", "a b"])
def test_queues_that_can_not_be_served_name_the_variable(queues: str) -> None:
    with pytest.raises(ConfigError, match="MINICELERY_QUEUES="):
        Config.from_env({"MINICELERY_QUEUES": queues})
