import Glibc
import Host

let arguments = Array(CommandLine.arguments.dropFirst())
if arguments.first == ProbeCommand.argument { runProbe(arguments.dropFirst().first) }
exit(SluiceProgram.run(arguments: arguments, operations: Program.operations))
