"""Names of users and what becomes of their generations."""

from daybreak_charm import credentials


def test_a_name_says_whose_it_is_and_is_read_back() -> None:
    user = credentials.User("keystone", 7, 1)
    assert str(user) == "keystone.r7.g1"
    assert credentials.parse("keystone.r7.g1") == user
    assert credentials.parse("guest") is None
    assert credentials.parse("keystone.r7.g1;") is None
    assert len(str(credentials.User("x" * 99, 1, 1))) < 70


def test_what_stays_beside_the_newest_generation() -> None:
    newest = {7: "nova.r7.g2"}
    kept = {
        name
        for name in ("nova.r7.g1", "nova.r7.g2", "nova.r7.g3", "old.r5.g1", "shy.r8.g4", "guest")
        if credentials.is_kept(name, newest, {7, 8})
    }
    assert kept == {"nova.r7.g1", "nova.r7.g2", "shy.r8.g4"}


def test_passwords_are_new_each_time() -> None:
    one, other = (credentials.content("nova", 7, 1) for _ in range(2))
    assert one["username"] == "nova.r7.g1"
    assert one["password"] != other["password"]
    assert len(one["password"]) > 40
