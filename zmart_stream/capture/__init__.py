"""The file format of recorded inputs."""
