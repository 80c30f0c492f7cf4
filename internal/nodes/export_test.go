package nodes

// Lives is the heartbeat of a node.
func Lives(n Node) []byte { return appendMessage(nil, kindLives, &n) }
