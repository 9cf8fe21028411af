"""Shows that check_layers finds each kind of fault, and none where there is none."""

import tempfile
import unittest
from pathlib import Path

from check_layers import faults


class CheckLayersTest(unittest.TestCase):
    def faults_of(self, name, text):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
            return list(faults(Path(folder)))

    def assert_fault(self, name, text, says):
        found = self.faults_of(name, text)
        self.assertEqual(len(found), 1, found)
        self.assertIn(says, found[0])

    def test_torch_stays_in_its_folder(self):
        for header in ["torch/script.h", "ATen/ATen.h", "c10/util/Half.h"]:
            self.assert_fault("engine/scheduler.cc", f"#include <{header}>\n", "only engine/torch knows torch")
            self.assert_fault("server/main.cc", f'#include "{header}"\n', "only engine/torch knows torch")
            self.assertEqual(self.faults_of("engine/torch/torch_model.cc", f"#include <{header}>\n"), [])
        self.assertEqual(self.faults_of("server/main.cc", '#include "engine/torch/model_file.h"\n'), [])

    def test_the_rest_of_engine_does_not_know_engine_torch(self):
        include = '#include "engine/torch/model_file.h"\n'
        self.assert_fault("engine/engine.cc", include, "engine/model.h alone")
        self.assertEqual(self.faults_of("engine/torch/torch_model.cc", include), [])

    def test_engine_knows_no_wire(self):
        for header in ["grpcpp/grpcpp.h", "sinkstream/v1/chat.pb.h", "prometheus/counter.h", "google/protobuf/any.h"]:
            self.assert_fault("engine/engine.cc", f"#  include <{header}>\n", "engine knows no gRPC")

    def test_engine_is_the_lowest_layer(self):
        self.assert_fault("engine/text/tokenizer.cc", '#include "server/config.h"\n', "lowest layer")

    def test_server_knows_no_client(self):
        self.assert_fault("server/chat_service.cc", '#include "client/session_client.h"\n', "server knows no client")

    def test_client_knows_only_the_wire(self):
        for header in ["engine/types.h", "server/config.h"]:
            self.assert_fault("client/chat/chat.cc", f'#include "{header}"\n', "only the wire contract")

    def test_files_stay_small(self):
        self.assertEqual(self.faults_of("engine/a.cc", "\n" * 500), [])
        self.assert_fault("engine/a.cc", "\n" * 501, "501 lines")
        self.assertEqual(self.faults_of("LICENSE", "\n" * 501), [])

    def test_names_say_something(self):
        self.assert_fault("engine/kv_util.h", "", "'util'")
        self.assert_fault("server/common/a.h", "", "'common'")
        self.assert_fault("server/a.h", "class SessionManager final {\n", "SessionManager")
        self.assertEqual(self.faults_of("server/a.h", "class Commonwealth {};\nclass Foreign::FlagHelper;\n"), [])

    def test_tests_share_no_temporary_file(self):
        line = 'const std::string path = testing::TempDir() + "state.json";\n'
        self.assert_fault("tests/client/a_test.cc", line, "side by side")
        self.assertEqual(self.faults_of("tests/scratch_files.h", line), [])


if __name__ == "__main__":
    unittest.main()
