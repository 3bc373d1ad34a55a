.PHONY: all clean
all: ; @./flotilla --version
clean: ; rm -rf artifacts/launcher src/*/bin src/*/obj
