using Flotilla.Registers;
using Flotilla.Shards.Bench;

// Measures what exactly-once costs at apply, images of the whole state, handoffs, and registers; docs/sessions.md, image.md, handoff.md and
// registers.md quote what this prints. Usage: dotnet run -c Release --project bench/Flotilla.Shards.Bench [-- RECORDS [handoff | registers]]
var records = args.Length > 0 ? int.Parse(args[0]) : 1_000_000;

Console.WriteLine($"{Environment.ProcessorCount} cores, .NET {Environment.Version}");
if (args is [_, "registers"])
{
    foreach (var kind in new[] { RegisterKind.Quorum, RegisterKind.Async })
    {
        RegisterBench.Run(kind, 20_000, print: false);
        RegisterBench.Run(kind, records, print: true);
    }

    return;
}

if (args.Length < 2)
{
    // A small round first, so that the measured one runs compiled code.
    Bench.Images(50_000, sessions: 100, keys: 1000, print: false);
    Bench.Apply(20_000, print: false);

    Bench.Apply(500_000, print: true);
    Bench.Images(records, sessions: 10, keys: 0, print: true);
    Bench.Images(records, sessions: 10_000, keys: 300_000, print: true);
}

HandoffBench.Move(30_000, slots: 2048, print: false);
HandoffBench.Move(records, slots: 1024, print: true);
HandoffBench.Move(records, slots: 8192, print: true);
