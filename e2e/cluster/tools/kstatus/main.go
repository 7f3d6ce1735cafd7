// Says of each object on stdin (JSON, one after another) what kstatus makes of it, in a line of JSON each: by
// these rules GitOps tools decide whether what they applied has arrived.
package main

import (
	"bufio"
	"encoding/json"
	"log"
	"os"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
)

type verdict struct {
	Status  string `json:"status"`
	Message string `json:"message"`
}

func main() {
	log.SetFlags(0)
	decoder := json.NewDecoder(bufio.NewReader(os.Stdin))
	encoder := json.NewEncoder(os.Stdout)
	for decoder.More() {
		var text json.RawMessage
		if err := decoder.Decode(&text); err != nil {
			log.Fatalf("kstatus: not JSON: %v", err)
		}
		// Not into a plain map: numbers would become floats there, and kstatus wants integers.
		object := &unstructured.Unstructured{}
		if err := object.UnmarshalJSON(text); err != nil {
			log.Fatalf("kstatus: not an object: %v", err)
		}
		result, err := status.Compute(object)
		if err != nil {
			log.Fatalf("kstatus: %v", err)
		}
		if err := encoder.Encode(verdict{result.Status.String(), result.Message}); err != nil {
			log.Fatalf("kstatus: %v", err)
		}
	}
}
