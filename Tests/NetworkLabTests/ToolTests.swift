import NetworkLab
import Testing

struct ToolTests {
    @Test func aMissingToolIsNamedWithItsPackage() {
        let tool = Tool(name: "no-such-tool", package: "some-package")
        let error = #expect(throws: LabError.self) { try tool.located() }
        #expect(error?.description == "'no-such-tool' is not installed: apt-get install some-package")
    }
}
