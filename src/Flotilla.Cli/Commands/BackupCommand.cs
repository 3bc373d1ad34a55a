using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
using Flotilla.Cli.Backup;
using Flotilla.Cli.Flags;
using Flotilla.Cli.Load;
using Flotilla.Cli.Output;
using Flotilla.Cli.Status;
using Flotilla.Client;
using Flotilla.Contracts;
using Flotilla.Contracts.Http;
using Flotilla.Topology;
using Flotilla.Wire.Backups;

namespace Flotilla.Cli.Commands;

/// <summary><c>flotilla backup</c>.</summary>
internal sealed class BackupCommand : CliCommand
{
    private const int RetryPauseMs = 200;

    /// <summary>So many times the shards of the cluster are read at most, where slots keep moving.</summary>
    private const int MaxRounds = 8;

    private static readonly Toggle Verify = new("--verify", "Write nothing: check that FILE is a whole backup, and say what is in it");

    private readonly Argument<string> _file = new("FILE") { Description = "The backup; it appears under this name, in the place of an older one, only once it is complete" };

    public BackupCommand()
        : base(
            "backup",
            "Writes all records of a cluster into one checksummed file while the cluster serves: each shard as it was at one moment, with every write acknowledged before the backup began, also while slots move from shard to shard.",
            "flotilla backup monday.flotilla", "with progress on a terminal",
            "flotilla backup --verify monday.flotilla", "is it whole? needs no cluster; `flotilla restore` brings it back")
    {
        Add(_file);
        Use(Verify);
        Use(CommonFlags.Client);
    }

    /// <inheritdoc/>
    public override async Task<int> RunAsync(Invocation invocation)
    {
        var shell = invocation.Shell;
        var file = invocation.Argument(_file)!;
        if (file is "" or "-")
        {
            throw new UsageException("a backup needs a file of its own, which gets its name only once it is complete: write to FILE, then send it on");
        }

        if (invocation.Get(Verify))
        {
            using var reader = BackupReader.Open(file);
            var found = await CheckAsync(invocation, reader, "backup", file);
            return found is null ? ExitCode.Failed : await ReportAsync(invocation, found, "whole:");
        }

        using var client = new FlotillaClient(CommonFlags.ClientOptions(invocation));
        var overview = await ClusterOverview.CollectAsync(client, shell.Stop);
        if (overview.Document is not { } cluster)
        {
            return CommonFlags.Explain(invocation, overview.Outcome, overview.Error);
        }

        var begun = DateTimeOffset.UtcNow;
        var started = Stopwatch.GetTimestamp();
        var clusterId = ulong.Parse(cluster.ClusterId, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture);
        var shards = cluster.Shards.Select(s => s.Id).Order().ToList();
        if (shards.Count == 0)
        {
            return CommonFlags.Explain(invocation, CallOutcome.Unavailable, new CallError("no_quorum", $"{cluster.Asked} has not learned yet which shards there are", 0));
        }

        using var source = new ShardSource(invocation.Get(CommonFlags.Timeout));
        using var backup = BackupFile.Create(file, new BackupHead(clusterId, begun.ToUnixTimeMilliseconds(), shards.Count));
        var progress = new ProgressLine(shell.Err, shell.ErrIsTerminal, Math.Max(1, cluster.Shards.Sum(s => s.Keys)), 0);
        var fetching = FetchAsync(invocation, client, source, backup, clusterId, shards);
        while (!fetching.IsCompleted)
        {
            await Task.WhenAny(fetching, Task.Delay(ProgressLine.Interval, CancellationToken.None));
            progress.Show(source.Records, source.Records);
        }

        progress.Clear();
        if (await fetching is { } reason)
        {
            return CommonFlags.Explain(invocation, CallOutcome.Unavailable, new CallError("unavailable", reason, 0));
        }

        shell.Stop.ThrowIfCancellationRequested();
        backup.Complete();
        var summary = new BackupSummary(
            file, cluster.ClusterId, begun.ToString("yyyy-MM-dd'T'HH:mm:ss.fff'Z'", CultureInfo.InvariantCulture), backup.Shards, source.Cover.Records, backup.Bytes, ContentDigest.Show(source.Cover.Content));
        return await ReportAsync(invocation, summary, string.Create(CultureInfo.InvariantCulture, $"backed up in {Stopwatch.GetElapsedTime(started).TotalSeconds:0.0} s:"));
    }

    /// <summary>Checks a backup as a whole, with progress. Null, and it has been said why, if it is none.</summary>
    internal static async Task<BackupSummary?> CheckAsync(Invocation invocation, BackupReader reader, string command, string file)
    {
        var shell = invocation.Shell;
        var progress = new ProgressLine(shell.Err, shell.ErrIsTerminal, reader.Bytes, 0);
        try
        {
            // Off this thread: reading a file that is in memory never waits, and progress is to be shown meanwhile.
            var checking = Task.Run(() => reader.ReadAsync(null, null, null, null, shell.Stop), shell.Stop);
            while (!checking.IsCompleted)
            {
                await Task.WhenAny(checking, Task.Delay(ProgressLine.Interval, CancellationToken.None));
                progress.Show(reader.Records, reader.Offset);
            }

            progress.Clear();
            return await checking;
        }
        catch (BackupDamagedException damage)
        {
            progress.Clear();
            await shell.Err.WriteLineAsync($"flotilla {command}: {file} can't be used: {damage.What} (byte {damage.Offset} of {reader.Bytes}). Nothing was written. Use another backup, or another copy of this one.");
            return null;
        }
    }

    private static async Task<int> ReportAsync(Invocation invocation, BackupSummary summary, string what)
    {
        var shell = invocation.Shell;
        if (CommonFlags.Json(invocation))
        {
            Json.WriteLine(shell.Out, summary);
        }

        await shell.Err.WriteLineAsync(string.Create(
            CultureInfo.InvariantCulture,
            $"{what} {summary.Records:N0} records of {summary.Shards} shards, {summary.Bytes:N0} bytes, begun {summary.BegunAt}, cluster {summary.ClusterId}, content {summary.Content}"));
        return ExitCode.Done;
    }

    /// <summary>
    /// Fetches every shard, each from whoever can give it. Shards are read one after the other, so a slot that moves meanwhile may be in
    /// none of the images: then its present owner is read once more. Null, or why it could not be done.
    /// </summary>
    private static async Task<string?> FetchAsync(Invocation invocation, FlotillaClient client, ShardSource source, BackupFile backup, ulong clusterId, IReadOnlyList<int> shards)
    {
        var stop = invocation.Shell.Stop;
        var patience = invocation.Get(CommonFlags.Timeout);
        var most = MaxRounds * shards.Count;
        var lastNew = Environment.TickCount64;
        while (true)
        {
            foreach (var shard in shards)
            {
                if (await FetchAsync(client, source, backup, new BackupShard(clusterId, shard), patience, stop) is { } reason)
                {
                    return reason;
                }

                lastNew = Environment.TickCount64;
            }

            var missing = source.Cover.Missing;
            if (missing.IsEmpty)
            {
                return null;
            }

            if (source.Cover.Images >= most || Environment.TickCount64 - lastNew > patience.TotalMilliseconds)
            {
                return $"{missing.Count} slots moved from shard to shard whenever their shard was read: try again once flotilla status shows no moves";
            }

            // Whoever owned them gave them away before it was asked, or had frozen them: somebody else has them, or will in a moment.
            await Task.Delay(RetryPauseMs, stop);
            var status = await client.StatusAsync(stop);
            shards = status.Document is { } document ? [.. document.Shards.Where(s => s.Ranges.Any(range => Overlaps(missing, range))).Select(static s => s.Id).Order()] : [];
        }
    }

    private static bool Overlaps(SlotSet slots, int[] range) => SlotSet.Of(Enumerable.Range(range[0], range[1] - range[0] + 1).Select(static i => new Slot((ushort)i))).Overlaps(slots);

    /// <summary>Fetches one shard. Null also if it is not there any more: its slots are elsewhere.</summary>
    private static async Task<string?> FetchAsync(FlotillaClient client, ShardSource source, BackupFile backup, BackupShard shard, TimeSpan patience, CancellationToken stop)
    {
        for (var begun = Environment.TickCount64; ;)
        {
            var reason = "no node is known that has it";
            var status = await client.StatusAsync(stop);
            if (status.Document is { Shards.Count: > 0 } known && known.Shards.All(s => s.Id != shard.Shard))
            {
                return null;
            }

            foreach (var node in status.Document is { } document ? Candidates(document, shard.Shard) : [])
            {
                reason = await source.TryFetchAsync(node.Http, shard, backup, stop);
                if (reason is null)
                {
                    return null;
                }

                reason = $"node {node.Id}: {reason}";
            }

            if (Environment.TickCount64 - Math.Max(begun, source.LastNews) > patience.TotalMilliseconds)
            {
                return $"shard {shard.Shard} could not be read: {status.Error?.Message ?? reason}";
            }

            await Task.Delay(RetryPauseMs, stop);
        }
    }

    /// <summary>The nodes that vote in a shard, its leader first: it never has to ask another whether it is up to date.</summary>
    private static IEnumerable<(string Id, HostPort Http)> Candidates(StatusDocument status, int shard)
    {
        var known = status.Shards.FirstOrDefault(s => s.Id == shard);
        return status.Nodes
            .Where(n => known?.Voters.Contains(n.Id, StringComparer.Ordinal) == true)
            .OrderByDescending(n => string.Equals(n.Id, known?.Leader, StringComparison.Ordinal)).ThenByDescending(n => n.Alive)
            .Select(n => (n.Id, Parsed: HostPort.TryParse(n.Http, out var http, out _) ? http : (HostPort?)null))
            .Where(n => n.Parsed is not null)
            .Select(n => (n.Id, n.Parsed!.Value));
    }
}
