"""The command as our child, with fork, sessions and terminals: Linux, macOS, the BSDs."""
