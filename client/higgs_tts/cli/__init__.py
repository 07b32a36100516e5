"""The command line, `higgs-tts`. It needs what the extra `cli` installs; the library does not."""
