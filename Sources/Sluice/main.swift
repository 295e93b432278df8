import Glibc
import Host

let arguments = Array(CommandLine.arguments.dropFirst())
if arguments.first == ProbeCommand.argument { runProbe() }
exit(SluiceProgram.run(arguments: arguments, operations: Program.operations))
