// Command hooktool is every hook tool of a charm: its name is the base name of the link it is called by.
//
// It hands its arguments, and what it alone can read (standard input and files of the charm's container), to the agent
// on a unix socket, prints the answer and exits with the agent's code. It stays this small because a hook calls tools
// up to 200 times.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
)

const (
	contextVariable = "JUJU_CONTEXT_ID"
	socketVariable  = "JUJU_AGENT_SOCKET_ADDRESS"
	// What a shell reports for a command that cannot be run here.
	unavailable = 1
)

type request struct {
	Context string            `json:"context"`
	Tool    string            `json:"tool"`
	Args    []string          `json:"args"`
	Stdin   *string           `json:"stdin"`
	Files   map[string]string `json:"files"`
}

type response struct {
	Code   int    `json:"code"`
	Stdout string `json:"stdout"`
	Stderr string `json:"stderr"`
}

func main() {
	code, err := call(filepath.Base(os.Args[0]), os.Args[1:])
	if err != nil {
		fmt.Fprintf(os.Stderr, "ERROR %v\n", err)
		code = unavailable
	}
	os.Exit(code)
}

func call(tool string, args []string) (int, error) {
	context, socket := os.Getenv(contextVariable), os.Getenv(socketVariable)
	if context == "" || socket == "" {
		return 0, fmt.Errorf("%s works only inside a hook: %s and %s must be set", tool, contextVariable, socketVariable)
	}
	question := request{Context: context, Tool: tool, Args: args, Files: map[string]string{}}
	if args == nil {
		question.Args = []string{}
	}
	if err := readInputs(&question); err != nil {
		return 0, err
	}
	connection, err := net.Dial("unix", socket)
	if err != nil {
		return 0, fmt.Errorf("%s: the agent of this unit does not answer (it restarts by itself): %w", tool, err)
	}
	defer connection.Close()
	if err := json.NewEncoder(connection).Encode(question); err != nil {
		return 0, fmt.Errorf("%s: the agent of this unit went away: %w", tool, err)
	}
	var answer response
	if err := json.NewDecoder(bufio.NewReaderSize(connection, 1<<16)).Decode(&answer); err != nil {
		return 0, fmt.Errorf("%s: the agent of this unit went away before it answered: %w", tool, err)
	}
	if _, err := io.WriteString(os.Stdout, answer.Stdout); err != nil {
		return 0, err
	}
	if _, err := io.WriteString(os.Stderr, answer.Stderr); err != nil {
		return 0, err
	}
	return answer.Code, nil
}

// readInputs adds the contents of the files that the arguments name, and standard input when one of them is "-".
//
// A file that cannot be read is left out: only the agent knows whether the argument means a file at all.
func readInputs(question *request) error {
	for _, path := range namedFiles(question.Args) {
		if path == "-" {
			content, err := io.ReadAll(os.Stdin)
			if err != nil {
				return fmt.Errorf("%s: cannot read standard input: %w", question.Tool, err)
			}
			text := string(content)
			question.Stdin = &text
			continue
		}
		if content, err := os.ReadFile(path); err == nil {
			question.Files[path] = string(content)
		}
	}
	return nil
}

// namedFiles returns the paths in "--file PATH", "--file=PATH" and "key#file=PATH"; "-" only for the first two.
func namedFiles(args []string) []string {
	var paths []string
	for i := 0; i < len(args); i++ {
		argument := args[i]
		flag := strings.TrimPrefix(argument, "-")
		switch {
		case (flag == "-file" || flag == "file") && flag != argument && i+1 < len(args):
			i++
			paths = append(paths, args[i])
		case strings.HasPrefix(argument, "--file="):
			paths = append(paths, strings.TrimPrefix(argument, "--file="))
		case strings.HasPrefix(argument, "-file="):
			paths = append(paths, strings.TrimPrefix(argument, "-file="))
		case !strings.HasPrefix(argument, "-"):
			if _, path, found := strings.Cut(argument, "#file="); found && path != "-" {
				paths = append(paths, path)
			}
		}
	}
	return paths
}
