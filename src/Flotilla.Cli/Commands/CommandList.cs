namespace Flotilla.Cli.Commands;

/// <summary>Every command there is; whatever is not here answers with exit code 2 and what may have been meant.</summary>
internal static class CommandList
{
    /// <summary>New ones, since a parser's symbols belong to one parser.</summary>
    public static IReadOnlyList<CliCommand> Make() =>
    [
        new PutCommand(),
        new GetCommand(),
        new DelCommand(),
        new IncrCommand(),
        new ScanCommand(),
        new WatchCommand(),
        new LoadCommand(),
        new BackupCommand(),
        new RestoreCommand(),
        new StatusCommand(),
        new MonitorCommand(),
        new AddNodeCommand(),
        new RemoveNodeCommand(),
        new AddShardCommand(),
        new RemoveShardCommand(),
        new TransferLeaderCommand(),
        new SnapshotCommand(),
        new ModeCommand(),
        new BenchCommand(),
        new DevCommand(),
        new NodeCommand(),
        new ShardCommand(),
        new RouterCommand(),
        new WorkerCommand(),
        new MasterCommand(),
        new KvServerCommand(),
        new KvClientCommand(),
    ];
}
