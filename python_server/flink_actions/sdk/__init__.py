"""What an author of agents sees. Imports nothing else of ours."""
