package objects

import (
	"fmt"
	"regexp"
	"strings"
)

var (
	fieldPathRE  = regexp.MustCompile(`[cC]ontainers\{([^}]+)\}`)
	pullSecretRE = regexp.MustCompile(`image pull secrets \(([^)]+)\)`)
	volumeRE     = regexp.MustCompile(`for volume "([^"]+)"`)
	// The runtime's word on a command: runc's, crun's.
	execRE = regexp.MustCompile(`exec:? "?([^":]+)"?: .*?(no such file or directory|executable file not found in \$PATH|permission denied|exec format error)|executable file ` + "`([^`]+)`" + ` not found`)
	// What the kubelet says of what a container or volume refers to (pkg/kubelet/kubelet_pods.go, pkg/volume/{configmap,secret}).
	notFoundRE   = regexp.MustCompile(`(configmap|secret|serviceaccount|persistentvolumeclaim)s? "([^"]+)" not found`)
	keyRE        = regexp.MustCompile(`couldn't find key (\S+) in (ConfigMap|Secret) ([^/\s]+)/(\S+)`)
	volumeKeyRE  = regexp.MustCompile(`(configmap|secret)? ?references non-existent (config|secret) key: (\S+)`)
	preemptorRE  = regexp.MustCompile(`Preempted by (?:pod )?(\S+) on node`)
	registeredRE = regexp.MustCompile(`object "[^"]*"/"([^"]+)" not registered`)
)

// forbiddenRE is the API server's word on what a service account may not do; programs often end with it.
var forbiddenRE = regexp.MustCompile(`is forbidden: User "system:serviceaccount:[^:"]+:([^"]+)" cannot (\w+) resource "([^"]+)"`)

// commands are those that images of all kinds have.
var commands = []string{"wget", "curl", "bash", "python", "python3", "node", "java", "nginx", "sleep", "echo", "npm", "ruby", "perl", "redis-server", "postgres", "mysqld"}

// meant is the command that a misspelt one may mean: one letter is wrong.
func meant(command string) string {
	command = command[strings.LastIndexByte(command, '/')+1:]
	for _, c := range commands {
		if len(command) > 2 && command != c && distance(command, c) == 1 {
			return c
		}
	}
	return ""
}

func group(re *regexp.Regexp, text string) string {
	if m := re.FindStringSubmatch(text); m != nil {
		return m[1]
	}
	return ""
}

// maxBrief is how much of a message is told (bytes).
const maxBrief = 400

func brief(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > maxBrief {
		text = strings.ToValidUTF8(text[:maxBrief], "") + "…"
	}
	return text
}

// lastLine is the last line of what a container left as its message: where programs say why they end.
func lastLine(text string) string {
	text = strings.TrimSpace(text)
	return brief(text[strings.LastIndexByte(text, '\n')+1:])
}

func join(names []string) string { return strings.Join(names, ", ") }

// signals are those by which programs usually end (signal(7)).
var signals = map[int]struct{ name, meaning string }{
	4: {"SIGILL", "it ran an instruction that this CPU does not have"}, 6: {"SIGABRT", "it aborted itself"},
	7: {"SIGBUS", "it accessed memory that is not there"}, 8: {"SIGFPE", "it divided by zero"}, 9: {"SIGKILL", "it was killed"},
	11: {"SIGSEGV", "it accessed memory that is not its own"}, 15: {"SIGTERM", "it was asked to end"},
}

// ending says what an exit code means.
func ending(code, number int, reason, message string) map[string]string {
	if m := execRE.FindStringSubmatch(message); m != nil {
		facts := map[string]string{"problem": "missing", "command": m[1] + m[3], "meaning": "the command is not there"}
		switch m[2] {
		case "permission denied":
			facts["problem"], facts["meaning"] = "not_executable", "the command may not be executed"
		case "exec format error":
			facts["problem"], facts["meaning"] = "not_executable", "the command is made for another CPU, or is a script without its first line"
		}
		return facts
	}
	if number == 0 && code > 128 && code < 128+65 {
		number = code - 128
	}
	switch {
	case strings.Contains(message, "exec format error"):
		return map[string]string{"problem": "not_executable", "meaning": "the command is made for another CPU, or is a script without its first line"}
	case reason == "OOMKilled":
		return map[string]string{"problem": "signal", "signal": "SIGKILL", "meaning": "killed for want of memory"}
	case code == 0 && number == 0:
		return map[string]string{"problem": "completed", "meaning": "it ended as if its work were done"}
	case code == 127:
		return map[string]string{"problem": "missing", "meaning": "a command was not found"}
	case code == 126:
		return map[string]string{"problem": "not_executable", "meaning": "a command could not be executed"}
	case number > 0:
		s, known := signals[number]
		if !known {
			s.name, s.meaning = fmt.Sprintf("signal %d", number), "it was ended by a signal"
		}
		return map[string]string{"problem": "signal", "signal": s.name, "meaning": s.name + ": " + s.meaning}
	}
	return map[string]string{"problem": "exit", "meaning": "it ended with an error"}
}

// pullProblems tell from a part of a message why an image cannot be had. The first that fits is it.
var pullProblems = []struct{ part, problem string }{
	{"toomanyrequests", "rate_limit"}, {"429 Too Many Requests", "rate_limit"},
	{"no space left on device", "disk"},
	{"x509:", "tls"}, {"server gave HTTP response to HTTPS client", "tls"}, {"tls: ", "tls"},
	{"no match for platform", "platform"}, {"no matching manifest", "platform"}, {"does not match the specified platform", "platform"},
	{"no such host", "network"}, {"i/o timeout", "network"}, {"connection refused", "network"}, {"dial tcp", "network"},
	{"TLS handshake timeout", "network"}, {"context deadline exceeded", "network"}, {"network is unreachable", "network"},
	{"short name mode is enforcing", "short"}, {`short-name "`, "short"}, // CRI-O's
	{"invalid reference format", "name"}, {"couldn't parse image", "name"}, {"repository name must be", "name"},
	{"pull access denied", "denied"}, {"insufficient_scope", "denied"},
	{"401 Unauthorized", "auth"}, {"403 Forbidden", "auth"}, {"no basic auth credentials", "auth"}, {"authentication required", "auth"},
	{"unauthorized", "auth"}, {"authorization failed", "auth"}, {"denied", "auth"},
	{"manifest unknown", "not_found"}, {"not found", "not_found"}, {"name unknown", "not_found"}, {"does not exist", "not_found"},
}

func imageProblem(reason, message string) string {
	switch reason {
	case "InvalidImageName":
		return "name"
	case "ErrImageNeverPull":
		return "never"
	}
	for _, p := range pullProblems {
		if strings.Contains(message, p.part) {
			return p.problem
		}
	}
	return ""
}

// imageMessage leaves out what the kubelet and the runtime say around why.
func imageMessage(message string) string {
	for _, before := range []string{"ErrImagePull: ", "rpc error: code = "} {
		if _, after, found := strings.Cut(message, before); found {
			message = after
		}
	}
	if _, after, found := strings.Cut(message, " desc = "); found {
		message = after
	}
	return brief(message)
}

// registry is the host that an image comes from.
func registry(image string) string {
	host, _, found := strings.Cut(image, "/")
	if !found || !strings.ContainsAny(host, ".:") && host != "localhost" {
		return "docker.io"
	}
	return host
}
