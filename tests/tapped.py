"""A client of Redis through which a test sees, changes or repeats what is sent."""

from typing import Any


class Tapped:
    """A client, its pool and its only connection in one, as scripts use them. Subclasses change what they like."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.connection_pool = self
        self._pool = client.connection_pool

    def get_connection(self) -> Any:
        self.connection = self._pool.get_connection()
        return self

    def release(self, connection: Any) -> None:
        self._pool.release(self.connection)

    def pack_command(self, *words: Any) -> Any:
        return self.connection.pack_command(*words)

    def send_packed_command(self, command: Any) -> None:
        self.connection.send_packed_command(command)

    def read_response(self) -> Any:
        return self.connection.read_response()

    def disconnect(self, inuse_connections: bool = True) -> None:
        if inuse_connections:
            self.connection.disconnect()
