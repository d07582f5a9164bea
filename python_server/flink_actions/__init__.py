"""Flink Action Server: run the Python actions of Apache Flink agents in a process of their own."""
