using System.Globalization;
using Flotilla.Linearizability;
using Flotilla.Simulation;

// Runs one seed and prints what happened, or a range of seeds and prints which failed.
//   dotnet run -c Release --project tests/Flotilla.Simulation -- 42
//   dotnet run -c Release --project tests/Flotilla.Simulation -- 42 --history FILE
//   dotnet run -c Release --project tests/Flotilla.Simulation -- 1..200 [--until-failure]
if (args.Length == 0)
{
    await Console.Error.WriteLineAsync("usage: SEED [--quiet] [--history FILE] | FIRST..LAST [--until-failure]");
    return 2;
}

var range = args[0].Split("..");
var first = ulong.Parse(range[0], CultureInfo.InvariantCulture);
if (range.Length == 1)
{
    await using var transcript = new StreamWriter(Console.OpenStandardOutput(), bufferSize: 1 << 16);
    var result = Simulation.Run(first, args.Contains("--quiet", StringComparer.Ordinal) ? null : transcript);
    var file = Array.IndexOf(args, "--history");
    if (file >= 0)
    {
        await using var writer = new StreamWriter(args[file + 1]);
        HistoryFile.Write(writer, result.History);
    }

    await transcript.WriteLineAsync($"{result.Options}");
    await transcript.WriteLineAsync(string.Join(", ", result.Counts.Select(c => $"{c.Key} {c.Value}")));
    await transcript.WriteLineAsync(result.Failure is null ? $"seed {first}: ok" : $"seed {first}: {result.Failure}");
    return result.Failure is null ? 0 : 1;
}

var last = ulong.Parse(range[1], CultureInfo.InvariantCulture);
var tried = 0;
var failures = 0;
foreach (var batch in Seeds.Batches(first, last))
{
    foreach (var result in Seeds.RunBatch(batch))
    {
        tried++;
        if (result.Failure is not null)
        {
            failures++;
            Console.WriteLine($"seed {result.Seed} (after {tried}): {result.Failure}\n  {result.Replay}");
            if (args.Contains("--until-failure", StringComparer.Ordinal))
            {
                return 1;
            }
        }
    }
}

Console.WriteLine($"{tried} seeds, {failures} failed");
return failures == 0 ? 0 : 1;
