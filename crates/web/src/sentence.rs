//! A table of every sentence of the pages in every language, and therefore longer than other files.
//!
//! To add a sentence, add a row; a row without both languages does not compile, and a test refuses an empty
//! one. `{}` marks where a name goes; both languages must hold it equally often.

macro_rules! sentences {
    ($($name:ident: $english:literal, $japanese:literal;)*) => {
        /// One sentence of the pages.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Sentence {
            $(#[doc = $english] $name,)*
        }

        impl Sentence {
            /// All sentences, for the test of the table.
            #[cfg(test)]
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Returns the sentence in English and in Japanese.
            pub fn row(self) -> (&'static str, &'static str) {
                match self {
                    $(Self::$name => ($english, $japanese),)*
                }
            }
        }
    };
}

sentences! {
    // Everywhere.
    RequestLabel: "Request", "リクエスト";
    SignedInAs: "Signed in as {}", "{} としてログイン中";
    NotYou: "Not you?", "別のアカウントを使う";
    SignOut: "Sign out", "ログアウト";
    Tagline: "The checkpoint in front of your tools", "ツールの手前にある関所";

    // The client page and the grant page.
    ClientTitle: "An application wants to connect", "アプリケーションが接続を求めています";
    ClientLead: "{} asks to use one of your servers. Check that you started this, then sign in to decide.",
        "{} がサーバーの利用を求めています。ご自身で始めた操作であることを確かめてから、ログインして決めてください。";
    GrantTitle: "Let this application in?", "このアプリケーションを通しますか？";
    GrantLead: "{} asks to use this server in your name.", "{} があなたの代理でこのサーバーを使うことを求めています。";
    Unverified: "Unverified", "未確認";
    UnverifiedNote: "This application registered itself. Nobody has checked the name it gave.",
        "このアプリケーションは自分で登録しました。名乗った名前は誰も確認していません。";
    DocumentNote: "The name comes from a document published at {}.", "名前は {} で公開されている文書によるものです。";
    RegisteredNote: "Registered by the operator of this checkpoint.", "この関所の管理者が登録しました。";
    Application: "Application", "アプリケーション";
    Server: "Server", "サーバー";
    AnswerGoesTo: "The answer goes to", "回答の送り先";
    PublishedBy: "Published by", "公開元";
    LoopbackWarning: "The answer goes to a program on this computer, and any program here could use this name. Continue only if you started this yourself a moment ago.",
        "回答はこのコンピューター上のプログラムに送られます。別のプログラムがこの名前を名乗っている可能性もあります。たった今ご自身で始めた場合だけ続けてください。";
    SchemeWarning: "The answer goes to an app on this device, and another app could claim the same address. Continue only if you started this yourself a moment ago.",
        "回答はこの端末上のアプリに送られます。別のアプリが同じ宛先を名乗っている可能性もあります。たった今ご自身で始めた場合だけ続けてください。";
    AsksTo: "It asks to", "求められている権限";
    YouAllow: "You allow it to", "許可する内容";
    Continue: "Continue to sign in", "ログインへ進む";
    Cancel: "Cancel", "キャンセル";
    Approve: "Allow", "許可する";
    Deny: "Deny", "拒否する";
    WithheldNote: "It asked for more than you may hand on. Only what you may hand on is listed.",
        "あなたが渡せる範囲を超える権限も求められました。渡せるものだけを表示しています。";
    NothingGrantable: "There is nothing here that you may hand on: you have no rights at this server that cover the request. Ask its owner.",
        "渡せる権限がありません。このサーバーで、求められた内容に足りる権限をお持ちではありません。所有者に相談してください。";
    EndsAnyTime: "You can end this at any time. Every call is checked and recorded.",
        "許可はいつでも取り消せます。すべての呼び出しは検査され、記録されます。";
    ScopeRead: "Look at things: tools that only read", "閲覧：読み取りだけのツールを使う";
    ScopeWrite: "Change things: tools that add or alter, and everything that only reads",
        "変更：追加や変更を行うツールと、読み取りのツールを使う";
    ScopeDestructive: "Do what cannot be undone: delete, send, publish, and everything less than that",
        "取り消せない操作：削除・送信・公開などと、それより軽い操作をすべて行う";
    ScopeTool: "Use the tool {}", "ツール {} を使う";
    ScopeAccount: "Work with your own linked account {}", "あなたが連携したアカウントを使う {}";
    ScopeOffline: "Stay connected when you are away", "あなたが離れている間も接続を保つ";
    StayTitle: "When you are away", "離れている間";
    StayNote: "Without this it ends when you sign out here, and after {} hours at the latest.",
        "選ばない場合は、ここでログアウトしたとき、または遅くとも {} 時間後に終了します。";
    ScopeOther: "Use the permission {}", "権限 {} を使う";

    // Narrowing what is granted.
    TaskTitle: "What it is for", "目的";
    TaskLead: "The application declares this task. Nothing outside it will pass, whatever is granted.",
        "アプリケーションが申告した作業です。許可があっても、この作業の範囲を超える呼び出しは通しません。";
    TaskCalls: "at most {} calls", "呼び出しは最大 {} 回";
    TaskMinutes: "for {} minutes", "{} 分間";
    TemplateTitle: "A task to hold it to", "作業に限定する";
    TemplateLead: "The owner of this server offers these tasks. If you choose one, only what it names will pass, until you finish it.",
        "このサーバーの所有者が用意した作業です。選ぶと、終了するまで、その作業に含まれるものだけを通します。";
    TemplateNone: "none of these", "選ばない";
    PurposeLabel: "What is it for? (optional)", "何のための許可ですか（任意）";
    PurposeHint: "If you name a purpose, this becomes a task: only what is ticked below passes, until you finish it.",
        "目的を書くと作業になります。終了するまで、下で選んだものだけが通ります。";
    ReadsToo: "The resources and prompts of the server, too, as far as they are allowed", "サーバーのリソースとプロンプトも、許可の範囲で使える";
    AllResources: "all resources", "すべてのリソース";
    AllPrompts: "all prompts", "すべてのプロンプト";
    NarrowTitle: "Only some of its tools", "ツールを絞る";
    NarrowLead: "Untick what it should not use. What is granted is exactly what is ticked.",
        "使わせないものの選択を外してください。選んだものだけを許可します。";
    BoundsNote: "arguments within {}", "引数の範囲：{}";
    EndLabel: "For how long?", "期間";
    EndNever: "until I end it", "取り消すまで";
    EndHour: "one hour", "1時間";
    EndDay: "one day", "1日";
    EndWeek: "one week", "1週間";
    EndMonth: "30 days", "30日間";
    FigureTitle: "The three sets", "三つの集合";
    FigureClasses: "classes of tools: {}", "ツールの種類 {} 件";
    ToolsUnknown: "No tools of this server are known yet, so none can be chosen one by one. What you tick covers every tool of its kind that the server shows later. The server was asked just now: load this page again to see whether it has answered.",
        "このサーバーのツールはまだ分からないため、個別には選べません。選んだ内容は、サーバーがあとで示す同じ種類のツールすべてに及びます。サーバーには問い合わせ済みです。ページを再読み込みすると、返答があれば表示されます。";
    ToolsMany: "This server has {} such tools, too many to list here. Narrow the access by what you tick above.",
        "該当するツールが {} 件あり、ここには並べられません。上の選択で絞ってください。";
    ToolsUnclassified: "Tools without a class: {}. Nothing that you tick above covers them; the application has to ask for each of them by name.",
        "働きが未分類のツール：{} 件。上で選んだ内容には含まれず、アプリケーションはツールごとに許可を求める必要があります。";
    ToolsClassify: "Say what they can do", "働きを決める";

    // The owner's first consent.
    ToolsTitle: "What its tools can do", "ツールの働き";
    ToolsLead: "This server is new, so say once what each of its tools can do; the proposals come from the server's own words. A tick here means that what stands beside the tool is right. It lets nobody use the tool: what this application may do is ticked above. A tool that you leave out needs its own permission each time.",
        "新しいサーバーなので、各ツールの働きを一度だけ確認してください。表示の案はサーバー自身の説明によるものです。ここでの選択は「働きの表示が正しい」という意味で、使用の許可ではありません。このアプリケーションに許可する内容は上で選びます。選ばなかったツールは、使うたびに個別の許可が要ります。";
    ToolColumn: "Tool", "ツール";
    ClassColumn: "It can", "働き";
    ClassRead: "read", "読み取り";
    ClassWrite: "change", "変更";
    ClassDestructive: "destroy or send", "削除・送信";

    // The tools of one server.
    ServerToolsTitle: "Tools of this server", "このサーバーのツール";
    HeldTitle: "Tools that are held back", "保留中のツール";
    HeldLead: "These tools are new, or are not what was accepted before. Nobody sees or uses them until you let them through. Read what changed: the words are the server's own, and may try to steer an agent.",
        "新しいツール、または承認後に内容が変わったツールです。あなたが通すまで、誰にも見えず、使えません。変更点をお読みください。文面はサーバー自身のもので、エージェントを誘導しようとしている場合もあります。";
    HeldNone: "Nothing is held back.", "保留中のツールはありません。";
    HeldNew: "new", "新規";
    HeldChanged: "changed", "変更";
    HeldAccept: "Let the ticked ones through", "選んだものを通す";
    HeldNote: "What you leave unticked stays held back.", "選ばなかったものは保留のままです。";
    HeldSeveral: "Several tools of the server have this name, so nobody can tell which of them a call would reach. It cannot be let through; the server has to name them differently.",
        "同じ名前のツールが複数あり、呼び出しがどれに届くか分からないため、通せません。サーバー側で名前を分ける必要があります。";
    UnclassifiedTitle: "Tools without a class", "働きが未分類のツール";
    UnclassifiedLead: "An application has to ask for each of these by name. Once you say what a tool can do, it belongs to what you let applications do. The proposals come from the server's own words. A class in the configuration file goes before what is said here.",
        "アプリケーションは、これらのツールを一つずつ名前で求める必要があります。働きを決めると、許可した種類の操作に含まれるようになります。表示の案はサーバー自身の説明によるものです。設定ファイルで働きを決めた場合は、そちらが優先されます。";
    UnclassifiedSave: "Keep the ticked ones as shown", "選んだものを表示どおりに決める";
    LaterTitle: "Seen later", "あとから現れたツール";
    LaterLead: "The server did not show these tools when it was first asked.", "サーバーに最初に問い合わせたときには無かったツールです。";
    LaterAccepted: "let through", "承認済み";
    LaterHeld: "held back, see above", "保留中（上をご覧ください）";
    LaterCallersOnly: "shown to an application and not to the checkpoint, so it cannot be let through or called",
        "アプリケーションにだけ示され、関所には示されないため、承認も呼び出しもできません";
    ServerToolsLink: "Tools", "ツール";
    RecordsTitle: "What happened", "記録";
    RecordsLead: "The newest first: every call with its decision and its outcome, every login, consent and refusal.",
        "新しい順です。すべての呼び出しの判断と結果、ログイン、同意、拒否を示します。";
    RecordsNone: "Nothing is on record here.", "記録はありません。";
    ActAccessAsked: "access_asked", "貸与の依頼";
    ActAccessLent: "access_lent", "貸与";
    ActAccessRefused: "access_refused", "貸与の拒否";
    ActAccessTakenBack: "access_taken_back", "貸与の取り戻し";
    LinksTitle: "Linked accounts", "連携アカウント";
    LinksLead: "Some servers work with an account of your own at a vendor. Only agents that you let use it do so.",
        "サーバーの中には、外部サービスにあるあなた自身のアカウントで動くものがあります。あなたが許可したエージェントだけがそれを使います。";
    LinksNone: "No server here works with accounts of its users.", "利用者のアカウントで動くサーバーはありません。";
    LinkNotYet: "Not linked", "未連携";
    LinkExpiredShort: "Expired", "失効";
    LinkOpen: "Open", "開く";
    LinkMissingTitle: "Link your account", "アカウントの連携";
    LinkMissingLead: "{} works with your own account at its vendor. Link one that you want agents to work with.",
        "{} は外部サービスにあるあなた自身のアカウントで動きます。エージェントに使わせたいアカウントを連携してください。";
    LinkedTitle: "Your linked account", "連携中のアカウント";
    LinkedLead: "{} is shown this account when an agent that you let use it calls in your name.",
        "あなたが許可したエージェントがあなたの代理で呼び出すとき、{} にこのアカウントが示されます。";
    LinkExpiredTitle: "Link your account anew", "アカウントの再連携";
    LinkExpiredLead: "{} cannot use this account any more.", "{} はこのアカウントをもう使えません。";
    LinkConfirmTitle: "Link this account?", "このアカウントを連携しますか？";
    LinkConfirmLead: "{} will work with this account. Check that it is yours.",
        "{} はこのアカウントで動くようになります。ご自身のものであることを確かめてください。";
    LinkReplaces: "Another account is linked now: {}. It is replaced.", "現在は別のアカウント {} が連携されています。置き換えられます。";
    LinkReplacesUnnamed: "An account is linked now whose name is not known. It is replaced.",
        "現在、名前の分からないアカウントが連携されています。置き換えられます。";
    LinkVendor: "Vendor", "サービス";
    LinkAccountName: "Account", "アカウント";
    LinkAccountUnnamed: "The vendor does not tell its name.", "サービスは名前を示しません。";
    LinkScopes: "What the vendor allows", "サービスが許可した内容";
    LinkSince: "Linked", "連携日時";
    LinkLastUsed: "Last used", "最終利用";
    LinkNeverUsed: "Not yet", "まだありません";
    LinkAgents: "Agents that may use it", "使えるエージェント";
    LinkAgentsNone: "None. An agent asks for it when you let it in.", "ありません。エージェントを通すときに求められます。";
    LinkReason: "Why", "理由";
    LinkGo: "Continue to {}", "{} へ進む";
    LinkKeyLabel: "Key from {}", "{} のキー";
    LinkKeyHint: "Make a key there for this purpose, with as few rights as you need. It is kept encrypted and shown to this server only.",
        "この用途のためのキーを、必要最小限の権限で作ってください。暗号化して保管され、このサーバーにだけ示されます。";
    LinkKeySubmit: "Check the key", "キーを確認する";
    LinkConfirm: "Link it", "連携する";
    LinkNo: "Do not link it", "連携しない";
    LinkAnother: "Link another account", "別のアカウントを連携する";
    Unlink: "Remove the link", "連携を解除する";
    UnlinkNote: "Agents cannot work with it any more, from now on.", "以後、エージェントはこのアカウントを使えません。";
    LinkBack: "You can go back to your application now and go on there.", "アプリケーションに戻って続けてください。";
    KeyNotAccepted: "The vendor does not accept this key. Nothing was linked.", "サービスがこのキーを受け付けません。何も連携されていません。";
    LinkGone: "This step is over, or it belongs to another browser or person. Nothing was linked.",
        "この手順は終了したか、別のブラウザーまたは別の人のものです。何も連携されていません。";
    LinkBusy: "Too many links were begun. Nothing was linked.", "連携の開始が多すぎます。何も連携されていません。";
    LinkFailed: "Nothing was linked: {}", "何も連携されていません: {}";
    HintLinkAgain: "Open the page of linked accounts and begin again.", "「連携アカウント」を開いて、もう一度始めてください。";
    ActAccountExpired: "account_expired", "連携アカウントの失効";
    ActAccountLinkRefused: "account_link_refused", "アカウント連携の拒否";
    ActAccountLinked: "account_linked", "アカウントの連携";
    ActAccountUnlinked: "account_unlinked", "アカウントの連携解除";
    ActApprovalDeclined: "approval_declined", "呼び出しの不承認";
    ActApprovalGiven: "approval_given", "呼び出しの承認";
    ActArgumentsRead: "arguments_read", "引数の閲覧";
    ActAuthorizationRefused: "authorization_refused", "接続要求の拒否";
    ActClientRegistered: "client_registered", "アプリケーションの登録";
    ActClientRefused: "client_refused", "アプリケーションの登録拒否";
    ActCodeReplayed: "code_replayed", "認可コードの再使用";
    ActConsentDenied: "consent_denied", "同意の拒否";
    ActConsentGiven: "consent_given", "同意";
    ActGrantMade: "grant_made", "外部の認可サーバーによる許可";
    ActGrantReleased: "grant_released", "終了した許可の解除";
    ActGrantReplaced: "grant_replaced", "許可の置き換え";
    ActGrantRevoked: "grant_revoked", "許可の終了";
    ActGrantWidened: "grant_widened", "外部の認可サーバーによる許可の拡大";
    ActIdentityLinked: "identity_linked", "プロバイダーのアカウントとの関連付け";
    ActIdentitySignedIn: "identity_signed_in", "プロバイダーでのログイン";
    ActIdentityUnlinked: "identity_unlinked", "プロバイダーのアカウントとの関連付けの解除";
    ActLoginFailed: "login_failed", "ログインの失敗";
    ActLoginSucceeded: "login_succeeded", "ログイン";
    ActRefreshReplayed: "refresh_replayed", "更新トークンの再使用";
    ActPasswordSet: "password_set", "パスワードの設定";
    ActTaskBegun: "task_begun", "作業の開始";
    ActTaskFinished: "task_finished", "作業の終了";
    ActTaskResumed: "task_resumed", "作業なしでの再開";
    ActTaskWidened: "task_widened", "作業の拡大";
    ActTokenIssued: "token_issued", "トークンの発行";
    ActTokenRefused: "token_refused", "トークンの拒否";
    ActToolAccepted: "tool_accepted", "ツールの確認";
    ActBaseUrlChanged: "base_url_changed", "基本URLの変更";
    ActClientAdded: "client_added", "アプリケーションの追加";
    ActClientRemoved: "client_removed", "アプリケーションの削除";
    ActGrantsRevoked: "grants_revoked", "許可の一括終了";
    ActRecordsContradicted: "records_contradicted", "記録の不一致";
    ActRecordsPruned: "records_pruned", "古い記録の削除";
    ActReachChanged: "reach_changed", "利用範囲の変更";
    ActServerAdded: "server_added", "サーバーの追加";
    ActServerRemoved: "server_removed", "サーバーの削除";
    ActSessionsEnded: "sessions_ended", "ログインの終了";
    ActSetupLinkMade: "setup_link_made", "パスワード設定リンクの発行";
    ActToolClassified: "tool_classified", "ツールの分類";
    ActGroupAdded: "group_added", "グループの追加";
    ActGroupChanged: "group_changed", "グループの変更";
    ActGroupRemoved: "group_removed", "グループの削除";
    ActProvisioningRefused: "provisioning_refused", "プロビジョニングの拒否";
    ActScimTokenAdded: "scim_token_added", "SCIMトークンの追加";
    ActScimTokenRemoved: "scim_token_removed", "SCIMトークンの取り消し";
    ActUserAdded: "user_added", "利用者の追加";
    ActUserChanged: "user_changed", "利用者の変更";
    ActUserDisabled: "user_disabled", "利用者の停止";
    ActUserEnabled: "user_enabled", "利用者の再開";
    ActUserRemoved: "user_removed", "利用者の削除";
    ActUserRoleChanged: "user_role_changed", "役割の変更";
    ActorAgent: "agent", "エージェント";
    ActorAnonymous: "anonymous", "不明な相手";
    ActorCheckpoint: "checkpoint", "関所自身";
    ActorClient: "client", "アプリケーション";
    ActorOperator: "operator", "管理者（コマンド）";
    ActorProvisioner: "provisioner", "プロビジョニング";
    ActorUser: "user", "利用者";
    VerdictAsk: "ask", "承認待ち";
    VerdictDeny: "deny", "拒否";
    VerdictPermit: "permit", "許可";
    VerdictStepUp: "step_up", "追加の許可が必要";
    EventChild: "child", "プログラムの開始と終了";
    EventClockSet: "clock_set", "時計の変更";
    EventRefusals: "refusals", "まとめて記録した拒否";
    EventRejection: "rejection", "要求の拒否";
    OutcomeAnswered: "answered", "応答あり";
    OutcomeCancelled: "cancelled", "中断";
    OutcomeError: "error", "エラー応答";
    OutcomeRevoked: "revoked", "途中で取り消し";
    OutcomeStopping: "stopping", "停止により中断";
    OutcomeUnconfirmed: "unconfirmed", "確認できず中断";
    OutcomeUnknown: "unknown", "結果不明";
    OutcomeUpstreamFailed: "upstream_failed", "サーバー側の失敗";
    RefusedByGrant: "grant", "与えた許可";
    RefusedByNeed: "need", "作業";
    RefusedByRights: "rights", "権限";
    LookFor: "Look for these", "絞り込む";
    LookAny: "any", "すべて";
    LookSet: "Refused by", "拒否した集合";
    LookSince: "When", "時期";
    SinceEver: "any time", "すべて";
    SinceHour: "in the last hour", "過去1時間";
    SinceDay: "in the last day", "過去1日";
    SinceWeek: "in the last week", "過去1週間";
    SetRights: "the rights of the user", "利用者の権限";
    SetGrant: "what was granted", "与えた許可";
    SetNeed: "the task", "作業";
    RecordsOlder: "Older", "以前の記録";
    RecordTitle: "One exchange", "一つのやり取り";
    RecordNumber: "Record", "記録番号";
    ArgumentsKept: "The arguments of this call were kept. That you read them goes on record.", "この呼び出しの引数は保存されています。閲覧したことは記録されます。";
    ShowArguments: "Show the arguments", "引数を表示する";
    ConnectTitle: "Connect an application", "アプリケーションを接続する";
    HeldCount: "{} held back", "{} 件を保留中";
    MoreLeft: "and {} more", "ほか {} 件";

    // Signing in.
    LoginTitle: "Sign in", "ログイン";
    LoginLead: "Sign in to this checkpoint.", "この関所にログインします。";
    LoginLeadClient: "Then you decide about {}.", "続けて {} への許可を決めます。";
    LoginLeadReturn: "Then you come back to the page you opened.", "続けて、開いたページに戻ります。";
    Username: "User name", "ユーザー名";
    Password: "Password", "パスワード";
    SignIn: "Sign in", "ログインする";
    LoginAt: "Sign in with {}", "{} でログイン";
    LoginAtLead: "You are sent there and come back here.", "移動先でログインしたあと、ここに戻ります。";
    LoginOr: "or with a password", "またはパスワードで";
    LoginNoPasswords: "There are no passwords here. If nobody can sign in, an operator makes a link for an owner on the machine of the checkpoint.",
        "ここではパスワードを使いません。誰もログインできない場合は、管理者が関所のマシンで所有者用のリンクを作れます。";
    UpstreamUnknown: "Nobody signs in with a provider of this name here.", "この名前のプロバイダーは登録されていません。";
    UpstreamGone: "This sign-in has ended: it was begun in another browser, was finished already, or took too long.",
        "このログインは終了しました（別のブラウザーで始められたか、すでに完了したか、時間切れです）。";
    UpstreamRefused: "{} did not sign you in.", "{} でログインできませんでした。";
    UpstreamFailed: "{} cannot be reached, or does not answer as it should. Nobody was signed in.",
        "{} に接続できないか、正しい応答がありません。ログインは行われていません。";
    UpstreamNotBelieved: "What {} says of this sign-in cannot be believed. Nobody was signed in.",
        "{} からの応答を信頼できません。ログインは行われていません。";
    UpstreamNotAdmitted: "You signed in at {}, but this account may not come in here.",
        "{} ではログインできましたが、このアカウントではここに入れません。";
    UpstreamGroups: "You signed in at {}, but in which groups you are cannot be told, so nothing can be decided for you.",
        "{} ではログインできましたが、所属グループが分からないため、権限を判断できません。";
    UpstreamLater: "Try again in a minute. If it stays so, tell the operator the request below: the records say exactly what was wrong. An operator can let an owner in with a link from the machine of the checkpoint.",
        "一分ほど待ってからもう一度お試しください。続く場合は、下のリクエスト番号を管理者に伝えてください。詳しい原因は記録にあります。所有者は、管理者が関所のマシンで作るリンクからログインできます。";

    EnteredTitle: "You are signed in", "ログインしました";
    EnteredLead: "The next page follows by itself. If it does not, use the button.", "次のページに自動で移動します。移動しない場合はボタンを押してください。";
    EnteredGo: "Go on", "次へ進む";

    // Signing out.
    SignedOutHere: "You are signed out here", "ここからログアウトしました";
    SignedOutTitle: "You are signed out", "ログアウトしました";
    SignedOutSent: "You are being sent to {} to sign out there as well. If nothing happens, use the button.",
        "{} からもログアウトするため、移動しています。移動しない場合はボタンを押してください。";
    SignedOutOffer: "You are still signed in at {}, and could come in here again without a password. On a shared computer, sign out there as well.",
        "{} にはまだログインしたままで、パスワードなしでここに戻れます。共用のコンピューターでは、そちらからもログアウトしてください。";
    SignedOutNotOffered: "You are still signed in at {}, which offers no sign-out from here. On a shared computer, sign out there as well, or close the browser.",
        "{} にはまだログインしたままです。ここからはログアウトできません。共用のコンピューターでは、そちらでログアウトするか、ブラウザーを閉じてください。";
    SignedOutUnreachable: "{} cannot be reached now, so you may still be signed in there. On a shared computer, sign out there later, or close the browser.",
        "現在 {} に接続できないため、そちらにはログインしたままの可能性があります。共用のコンピューターでは、後でそちらからもログアウトするか、ブラウザーを閉じてください。";
    SignedOutBoth: "You signed out here, and {} has sent you back after the sign-out there.",
        "ここからログアウトし、{} でのログアウトのあと、ここに戻りました。";
    SignedOutUnknown: "This page was not opened by a sign-out that began here a moment ago, so it cannot say whether you are signed out at {}.",
        "直前にここで始めたログアウトによって開かれたページではないため、{} からログアウトしたかどうかは分かりません。";
    HintSignOutCheck: "Open the first page: it says whether you are signed in here.", "最初のページを開くと、ここにログインしているかどうかが分かります。";
    SignOutThere: "Sign out at {}", "{} からもログアウト";
    SignInAgain: "Sign in again", "もう一度ログインする";

    // Ways to sign in.
    WaysTitle: "Ways to sign in", "ログイン方法";
    WayPasswordSet: "Is set.", "設定済みです。";
    WayPasswordNone: "Is not set. An operator can make a link with which you choose one.", "設定されていません。管理者が設定用のリンクを発行できます。";
    WayPasswordOff: "Lets nobody in here.", "ここではパスワードでログインできません。";
    WayPasswordNever: "Not for you: you sign in with an account only.", "パスワードは使えません。アカウントでのみログインします。";
    WaySince: "added {}", "{} に追加";
    WayNoProvider: "This provider is not in the configuration any more, so nobody signs in there.", "このプロバイダーは設定から外されたため、ログインに使えません。";
    WayOfUser: "Your user here was made for this account, so it stays.", "この関所のあなたのユーザーはこのアカウントのために作られたため、外せません。";
    WayLast: "This is your only way to sign in, so it stays. Add another account first.", "これが唯一のログイン方法のため、外せません。先に別のアカウントを追加してください。";
    WayRemove: "Remove this account", "このアカウントを外す";
    WayRemoveNote: "You can no longer sign in with it. Its groups are no longer yours, and you are signed out everywhere.",
        "このアカウントではログインできなくなります。そのグループの権限はなくなり、すべてのブラウザーからログアウトします。";
    WayAddTitle: "Add an account", "アカウントを追加する";
    WayAddLead: "You sign in there and come back. Nothing is added until you say yes.", "移動先でログインして戻ります。確認するまで何も追加されません。";
    WayAddAt: "Add an account at {}", "{} のアカウントを追加";
    WayStale: "You signed in more than ten minutes ago. To add an account, sign out, sign in again and come back here.",
        "ログインから10分以上たっています。アカウントを追加するには、一度ログアウトしてログインし直し、ここに戻ってください。";
    WayGone: "This has ended: it was begun in another browser or by another user, was answered already, or took too long. Begin again below.",
        "終了しました（別のブラウザーまたは別の利用者が始めたか、回答済みか、時間切れです）。下からやり直してください。";
    WayOwn: "You sign in with this account at {} already.", "{} のこのアカウントは追加済みです。";
    WayTaken: "Another user here signs in with this account at {}, so it was not added.", "{} のこのアカウントは別の利用者が使っているため、追加できません。";
    WayConfirmTitle: "Add this account?", "このアカウントを追加しますか？";
    WayConfirmLead: "From now on, whoever signs in with it is {} here.", "今後、このアカウントでログインした人は、ここでは {} になります。";
    WayConfirmNote: "Say yes only if this account is yours, and yours alone.", "自分専用のアカウントである場合だけ追加してください。";
    WayConfirmYes: "Add it", "追加する";
    WayProvider: "Provider", "プロバイダー";
    WayShownName: "Name there", "そこでの名前";
    WaySubject: "Identifier there", "そこでの識別子";

    // Where somebody is signed in.
    SessionsTitle: "Where you are signed in", "ログイン中のブラウザー";
    SessionsOf: "Where {} is signed in", "{} のログイン中のブラウザー";
    SessionsNone: "Signed in nowhere.", "ログイン中のブラウザーはありません。";
    SessionThis: "this browser", "このブラウザー";
    SessionUnknown: "Unknown browser", "不明なブラウザー";
    SessionByPassword: "with a password", "パスワードでログイン";
    SessionByLink: "with a link", "リンクでログイン";
    SessionByProvider: "at {}", "{} でログイン";
    SessionBegan: "since {}", "{} から";
    SessionSeen: "last seen {}", "最終利用 {}";
    SessionEnd: "Sign out", "ログアウトさせる";
    SessionEndOthers: "Sign out everywhere else", "ほかのすべてからログアウト";
    SessionEndAll: "Sign out everywhere", "すべてからログアウト";
    SessionEndNote: "Agents that may act only until a sign-out are ended as well.", "ログアウトまでに限って許可したエージェントも終了します。";
    SessionsMore: "Only the last used ones are listed.", "最近使われたものだけを表示しています。";
    SignedInTitle: "Who is signed in", "ログイン中の利用者";
    SignedInCount: "in {} browsers", "ブラウザー {} 件";

    HintSignInAgain: "Go back to where you came from and sign in again.", "元の画面に戻り、もう一度ログインしてください。";
    HintTellAdministrator: "Tell the operator the request below: the records say exactly what was wrong.",
        "下のリクエスト番号を管理者に伝えてください。詳しい原因は記録にあります。";
    LoginFailed: "The user name or the password is wrong.", "ユーザー名またはパスワードが違います。";
    LoginThrottled: "Too many attempts. Wait a little, then try again.", "試行回数が多すぎます。しばらく待ってからもう一度お試しください。";
    LoginForgotten: "Forgotten? The owner of this checkpoint can make you a new sign-in link.",
        "忘れた場合は、この関所の所有者が新しいログイン用リンクを発行できます。";

    // Setting a password.
    SetupTitle: "Choose a password", "パスワードを決める";
    SetupLead: "This link is for {} and works once.", "このリンクは {} 専用で、一度だけ使えます。";
    NewPassword: "New password", "新しいパスワード";
    RepeatPassword: "The same again", "もう一度入力";
    PasswordHint: "At least 10 characters. A few words in a row are good.", "10文字以上。いくつかの単語を並べるとよいでしょう。";
    SetPassword: "Set password and sign in", "パスワードを設定してログイン";
    SetupResetNote: "With the new password every browser is signed out and every connected agent is ended. You can let agents in again afterwards.",
        "新しいパスワードを設定すると、すべてのブラウザーがログアウトされ、接続中のエージェントはすべて終了します。その後、改めて許可できます。";
    PasswordsDiffer: "The two passwords differ.", "二つのパスワードが一致しません。";
    PasswordTitle: "Change your password", "パスワードの変更";
    PasswordPresent: "Your present password", "現在のパスワード";
    PasswordPresentWrong: "The present password is wrong. Nothing was changed.", "現在のパスワードが違います。何も変更されていません。";
    PasswordChange: "Change password", "パスワードを変更する";
    PasswordTooShort: "That is too short: use at least 10 characters.", "短すぎます。10文字以上にしてください。";
    PasswordTooLong: "That is too long: use at most 256 characters.", "長すぎます。256文字以内にしてください。";
    PasswordTooEasy: "That is too easy to guess. Choose another.", "推測されやすいパスワードです。別のものにしてください。";

    // The page between an identity provider and the pages of the session.

    // The home page.
    HomeTitle: "Sekisho", "関所 Sekisho";
    AgentsTitle: "Your connected agents", "接続中のエージェント";
    HomeLead: "This is a checkpoint for agents. It stands in front of MCP servers and checks every call: for whom, through which application, for what.",
        "エージェントのための関所です。MCP サーバーの手前に立ち、誰のために、どのアプリケーションを通して、何をするのか、呼び出しをひとつずつ検査します。";
    HomeSignedOut: "Sign in to see what is protected here.", "ログインすると、ここで守られているものを見られます。";
    WaitingTitle: "Waiting for your answer", "あなたの回答を待っています";
    WaitingAsks: "wants to use {}", "が {} の使用を求めています";
    Review: "Review", "確認する";
    ServersTitle: "Protected servers", "守られているサーバー";
    ServersHint: "Give one of these addresses to an MCP client.", "このアドレスを MCP クライアントに設定してください。";
    NoServers: "No server is protected yet.", "守られているサーバーはまだありません。";
    NoGrants: "None yet. An application appears here once you let it in.", "まだありません。アプリケーションを通すと、ここに表示されます。";
    EndGrant: "End access", "許可を取り消す";
    EndAllTitle: "End all agents", "すべてのエージェントを終了する";
    EndAllNote: "Every application that acts for you is stopped within a second. Each must ask again to come back.",
        "あなたの代理として動くすべてのアプリケーションが一秒以内に止まります。再び使うには、それぞれ改めて許可を求める必要があります。";
    Details: "Details", "詳細";
    Since: "since {}", "{} から";
    LastUsed: "last used {}", "最終利用 {}";
    NeverUsed: "not used yet", "まだ使われていません";
    EndsAt: "ends {}", "{} まで";

    // Approving one call.
    ApprovalTitle: "Approve this call?", "この呼び出しを承認しますか？";
    ApprovalLead: "{} wants to make exactly this call in your name.", "{} が、あなたの代理でこの呼び出しを行おうとしています。";
    ApprovedTitle: "You approved this call", "この呼び出しを承認しました";
    ApprovedNow: "The agent can try again now. It works once, until {}.", "エージェントはもう一度試せます。一度だけ、{} まで有効です。";
    DeclinedTitle: "You declined this call", "この呼び出しを承認しませんでした";
    DeclinedNow: "Nothing was done, and nothing will be unless the agent asks again.", "何も実行されていません。エージェントが改めて求めないかぎり、今後も実行されません。";
    ApprovalUsedTitle: "You approved this call", "この呼び出しを承認しました";
    ApprovalUsedNow: "The agent has used your approval. Another call needs another one.", "承認は使用済みです。別の呼び出しには改めて承認が要ります。";
    ApprovalExpiredTitle: "This has expired", "期限が切れました";
    ApprovalExpiredNow: "Nothing can be done with it any more. If the call is still wanted, the agent can ask again.",
        "この承認はもう使えません。まだ必要なら、エージェントが改めて求めることができます。";
    ApprovalEndedTitle: "This access has ended", "この許可は終了しています";
    ApprovalEndedNow: "The application may no longer act for you, so there is nothing to approve.", "このアプリケーションはもうあなたの代理になれないため、承認するものはありません。";
    WhyAsked: "Why you are asked", "確認する理由";
    RuleAsks: "The rule {} asks a person before each such call.", "規則 {} により、この種の呼び出しは毎回、人に確認します。";
    Task: "Task", "作業";
    AnswerBy: "Answer by", "回答期限";
    MinutesLeft: "{} min left", "残り {} 分";
    Arguments: "Arguments", "引数";
    Beside: "Sent along with the arguments", "引数とともに送られるもの";
    ArgumentsNone: "No arguments", "引数なし";
    ArgumentsNotKept: "The arguments were not kept and cannot be shown. Decline if in doubt.", "引数は保存されておらず、表示できません。確信がなければ承認しないでください。";
    ArgumentsCut: "Only the beginning is shown: {} more characters follow. Decline if you cannot tell what they do.",
        "冒頭だけを表示しています。この後に {} 文字あります。内容がわからなければ承認しないでください。";
    ApproveOnce: "Approve once", "今回だけ承認する";
    Decline: "Decline", "承認しない";
    ApprovalNote: "Your yes is for this call with these arguments. It works once.", "承認は、この引数によるこの呼び出し一回だけに有効です。";
    ApprovalCheck: "Decline if you did not expect this.", "心当たりがなければ承認しないでください。";

    // Asking for access that one does not have, and lending it.
    AccessTitle: "Ask for access?", "アクセスを依頼しますか？";
    AccessLead: "{} wanted to use this tool in your name. Either you may not use it, or there is no such tool. An owner can lend it to you for a while.",
        "{} があなたの代理でこのツールを使おうとしましたが、あなたに権限がないか、そのようなツールがありません。所有者に一時的な貸与を依頼できます。";
    AccessForbiddenTitle: "A rule forbids this", "規則で禁止されています";
    AccessForbiddenNow: "No owner can lend it, because a rule that forbids counts for more than a loan. Only a change of the rules helps.",
        "所有者も貸与できません。禁止の規則は貸与より優先されます。変更できるのは規則を書く人だけです。";
    AccessHeldTitle: "This tool is held back", "このツールは保留中です";
    AccessHeldNow: "It is new or has changed. You may use it as before as soon as an owner has read and accepted it; nothing has to be lent.",
        "新しいツールか、内容が変わったツールです。所有者が内容を確認して通せば、貸与なしで使えるようになります。";
    RuleSays: "The rule says", "規則の説明";
    LendForbidden: "A loan would not help: a rule forbids this, and counts for more than a loan.",
        "貸与しても使えません。禁止の規則があり、貸与より優先されます。";
    LendHeld: "A loan alone does not help: the tool is new or has changed. Read what is new, and let it through first:",
        "貸与だけでは使えません。新しいか内容が変わったツールです。先に内容を確認して通してください：";
    AccessWaitTitle: "An owner has been asked", "所有者に依頼しました";
    AccessWaitNow: "The answer will be shown here. Until then nothing passes.", "回答はこのページに表示されます。それまでは通りません。";
    AccessAnswerTitle: "Lend this for a while?", "一時的に貸しますか？";
    AccessAnswerLead: "{} asks for what the rules do not allow.", "{} が、規則では許可されていないことを依頼しています。";
    LentTitle: "This is lent", "貸与中です";
    LentNow: "The agent can try again now. It ends by itself at {}.", "エージェントはもう一度試せます。{} に自動的に終了します。";
    LoanOverTitle: "What was lent has ended", "貸与は終了しました";
    LoanOverNow: "It passes no more.", "もう通りません。";
    AccessRefusedTitle: "An owner said no", "所有者が断りました";
    AccessRefusedNow: "Nothing was lent.", "何も貸与されていません。";
    AccessExpiredNow: "Nobody answered in time, or the application may no longer act at all. If it is still wanted, ask again when it is next refused.",
        "期限までに回答がなかったか、アプリケーション自体の許可が終了しました。まだ必要なら、次に拒否されたときに改めて依頼してください。";
    AskedBy: "For whom", "利用者";
    AskedWhy: "Why", "理由";
    ReasonHint: "In your own words, for the owner who reads it.", "所有者が読みます。ご自身の言葉で書いてください。";
    AskOwner: "Ask an owner", "所有者に依頼する";
    LendBounds: "Only with arguments that fit this JSON Schema (optional)", "引数の範囲を示す JSON Schema（任意）";
    Lend: "Lend it", "貸す";
    RefuseAccess: "Refuse", "断る";
    LendNote: "For this person, this application and this tool alone. It ends by itself, with the access of the application, or when you take it back.",
        "この利用者、このアプリケーション、このツールだけに有効です。期限、アプリケーションの許可の終了、または取り戻しによって終わります。";
    TakeBack: "Take it back", "取り戻す";
    TakeBackNote: "It stops within a second.", "一秒以内に止まります。";
    AskedTitle: "Asked of you", "あなたへの依頼";
    AskedFor: "asks for {}", "の依頼：{}";
    ProblemReason: "Write why, in one line of at most 500 characters.", "理由を500文字以内の一行で書いてください。";
    ProblemBounds: "These bounds are not used: write a JSON Schema without references, of at most 512 values, in which each keyword bounds an argument of the tool.",
        "この範囲は使えません。参照を含まず、512個以内の値で、各キーワードがツールの引数を制限する JSON Schema を書いてください。";
    ProblemManyTasks: "As many tasks as there may be run for this agent already. Finish one first.",
        "このエージェントの作業は上限に達しています。先に一つ終えてください。";
    ProblemManyRequests: "You have asked for too much at once. Wait for an answer first.", "依頼が多すぎます。先に回答を待ってください。";

    // One grant.
    AgentTitle: "Connected agent", "接続中のエージェント";
    AgentLead: "What {} may do in your name.", "{} があなたの代理でできること。";
    AgentEnded: "This access has ended. The application can do nothing with it any more.", "この許可は終了しています。アプリケーションはもう何もできません。";
    MayDo: "It may", "許可した内容";
    Through: "Through", "経路";
    PathArrow: "You", "あなた";
    Connected: "Connected", "接続日時";
    LastUse: "Last used", "最終利用";
    Ends: "Ends", "終了日時";
    EndsNever: "When you end it", "取り消すまで";
    TasksTitle: "Tasks", "作業";
    NoTasks: "No task was declared: only the permissions above and your own rights decide.", "作業は申告されていません。上の権限と、あなた自身の権限だけで判断します。";
    HeldTo: "Everything it does is held to this", "すべての呼び出しがこの範囲に限られます";
    Stopped: "Stopped: nothing passes until you go on without it, or begin another", "停止中：この作業なしで続けるか、別の作業を始めるまで、何も通りません";
    BeginTitle: "Hold it to a task", "作業に限る";
    BeginLead: "Say what the agent is to do now. Until you finish the task, only the tools you tick pass.", "エージェントに今してほしいことを書いてください。作業を終えるまで、選んだツールだけが通ります。";
    Purpose: "What for", "目的";
    BeginPurposeHint: "One line in your own words, for example: tidy up the notes of this week.", "一行で、ご自身の言葉で。例：今週のメモを整理する。";
    TaskTools: "Tools it needs", "必要なツール";
    NoTools: "No tool of this server is known yet that you may use.", "このサーバーには、あなたが使えるツールがまだ見つかっていません。";
    CallsMax: "At most this many calls (empty: not counted)", "呼び出しの上限回数（空欄なら数えません）";
    Begin: "Begin the task", "作業を始める";
    ClassUnknown: "not classified", "未分類";
    NotCovered: "needs a permission that it will ask you for", "追加の許可が必要（使うときに確認されます）";
    LetInBy: "Let in by", "接続を認めた認可サーバー";
    ReleaseGrant: "Let it in again", "再び接続を認める";
    ReleaseGrantNote: "This application still has access tokens of the authorization server. They are refused until you let it in again.",
        "このアプリケーションは認可サーバーのトークンをまだ持っていますが、再び認めるまで拒否されます。";
    EndGrantNote: "Ends at once. The application must ask again to come back.", "直ちに終了します。再び使うには、改めて許可を求める必要があります。";

    // One task.
    TaskPageTitle: "A task of your agent", "エージェントの作業";
    TaskRunning: "running", "実行中";
    TaskSpent: "no calls left", "残り回数なし";
    TaskOver: "finished", "終了";
    TaskBegan: "Began", "開始";
    TaskEnded: "Ended", "終了";
    CallsLeft: "Calls left", "残りの呼び出し";
    OfTotal: "of {}", "全 {} 回";
    NotCounted: "Not counted", "数えません";
    OriginAgent: "begun by the agent itself", "エージェント自身が開始";
    OriginClient: "declared by the application", "アプリケーションが申告";
    OriginCommand: "begun at the command line", "コマンドラインから開始";
    OriginPerson: "begun by you", "あなたが開始";
    OriginTemplate: "begun from a template", "ひな型から開始";
    InTask: "What it may use", "使えるもの";
    AnyArguments: "any arguments", "引数の制限なし";
    Bounded: "only with arguments that fit this", "次に合う引数だけ";
    ResourceLabel: "Resource", "リソース";
    PromptLabel: "Prompt", "プロンプト";
    WidenTitle: "Give it more room", "範囲を広げる";
    WidenLead: "Only you can do this. It never goes beyond what you may do yourself.", "これができるのはあなただけです。あなた自身にできることを超えることはありません。";
    AddTools: "Add tools", "ツールを加える";
    NothingToAdd: "Every tool you may use is in the task already.", "あなたが使えるツールは、すべて作業に入っています。";
    DropBounds: "Drop limits on arguments", "引数の制限をなくす";
    DropBoundsOf: "Let it use {} with any arguments", "{} をどんな引数でも使えるようにする";
    AddCalls: "Add calls", "呼び出し回数を増やす";
    MoveEnd: "Move the end", "終了を延ばす";
    EndStays: "Leave it", "変えない";
    HourMore: "An hour later", "1時間延ばす";
    DayMore: "A day later", "1日延ばす";
    Widen: "Widen the task", "作業を広げる";
    FinishLead: "Everything held to this task stops at once.", "この作業に限られた呼び出しは、直ちに止まります。";
    Finish: "Finish the task", "作業を終える";
    ResumeTitle: "Go on without this task?", "この作業なしで続けますか？";
    ResumeLead: "The task is over, and the agent is stopped until you decide. If you go on, it may again do everything you let it in for. To hold it to something else, begin another task.",
        "作業は終了し、エージェントはあなたの判断を待って止まっています。続けると、許可したすべてのことが再びできるようになります。別のことに限りたい場合は、新しい作業を始めてください。";
    Resume: "Go on without it", "作業なしで続ける";
    ToAgent: "All about this agent", "このエージェントの詳細";
    ProblemPurpose: "Write the purpose as one plain line of at most 200 characters.", "目的は200文字以内の一行で書いてください。";
    ProblemNoTool: "Tick at least one tool.", "ツールを一つ以上選んでください。";
    ProblemCalls: "Write the number of calls as a whole number from 1 to 1000000.", "回数は1から1000000までの整数で書いてください。";
    ProblemEnd: "A task can last at most 31 days.", "作業の期間は31日までです。";
    ProblemTooLarge: "That is more than one task can hold.", "一つの作業に入る量を超えています。";
    ProblemResource: "The task names a resource in a form in which none can be read.", "作業が、読み取れない形でリソースを指定しています。";
    ProblemNothing: "Choose what to add.", "加えるものを選んでください。";

    // The page before returning to the application.
    ReturnTitle: "One more step", "あと一歩です";
    ReturnApproved: "You allowed the access. Continue to the application to finish.", "許可しました。アプリケーションに戻って完了してください。";
    ReturnDenied: "You denied the access. The application is told when you continue.", "拒否しました。続けるとアプリケーションに伝えられます。";
    ReturnRefused: "The application's request cannot be granted. You can tell it so, or close this page.",
        "アプリケーションの要求には応じられません。その旨を伝えるか、このページを閉じてください。";
    ReturnLink: "Continue to {}", "{} へ進む";

    // Errors before a page can be shown.
    ErrorTitle: "This cannot continue", "続行できません";
    ErrorClientUnknown: "The application is not known here.", "このアプリケーションは登録されていません。";
    ErrorClientDisabled: "This application has been shut out by the operator.", "このアプリケーションは管理者によって停止されています。";
    ErrorClientDocument: "The document that should describe this application could not be used.", "アプリケーションを説明する文書を利用できませんでした。";
    ErrorRedirect: "The application wants its answer at an address it has not registered.", "回答の送り先が、登録されたものと一致しません。";
    ErrorRequestMalformed: "The request is malformed.", "要求の形式が正しくありません。";
    ErrorRepeated: "The request says something twice: {}", "要求に重複した項目があります：{}";
    ErrorRequestGone: "This request has ended: it was answered, or it took too long.", "この要求は終了しました（回答済み、または期限切れです）。";
    ErrorOtherBrowser: "This request was begun in another browser.", "この要求は別のブラウザーで始められました。";
    ErrorForgery: "This form did not come from this browser, or it is too old.", "このフォームは、このブラウザーから送られたものでないか、古くなっています。";
    ErrorSetupLink: "This link does not work: it was used, or it is too old. Ask the operator for a new one.",
        "このリンクは使えません（使用済み、または期限切れです）。管理者に新しいリンクを依頼してください。";
    NothingTitle: "There is no page here", "ページがありません";
    NothingLead: "This is a Sekisho checkpoint, but this address leads to nothing. It may be misspelled, or what it was about is gone.",
        "ここは関所（Sekisho）ですが、このアドレスには何もありません。綴りが違うか、対象がもう無い可能性があります。";
    NothingCalls: "MCP clients connect to {} with the name of a server.", "MCP クライアントは {} にサーバー名を入れて接続します。";
    NothingHome: "To the first page", "最初のページへ";
    ErrorNotYours: "There is nothing like that here.", "該当するものはありません。";
    ErrorEnded: "This has ended meanwhile. Nothing was changed.", "すでに終了しています。何も変更されていません。";
    ErrorBusy: "Too much at once. Wait a little, then try again.", "要求が集中しています。しばらく待ってからもう一度お試しください。";
    ErrorUnavailable: "The checkpoint cannot reach its memory right now. Nothing was changed.", "現在、記録にアクセスできません。何も変更されていません。";
    ErrorInternal: "Something went wrong on our side. Nothing was changed.", "内部で問題が起きました。何も変更されていません。";
    HintStartAgain: "Go back to the application and start again.", "アプリケーションに戻り、もう一度やり直してください。";
    HintOtherAccount: "If it belongs to another account of yours, sign in with that one.", "別のアカウントのものであれば、そのアカウントでログインしてください。";
    HintReload: "Go back, reload the page and try again.", "前の画面に戻って再読み込みし、もう一度お試しください。";
    HintTellOperator: "If it happens again, tell the operator the request below.", "繰り返す場合は、下のリクエスト番号を管理者に伝えてください。";
    HintTellDeveloper: "This is for the application's developer to mend.", "アプリケーションの開発者による修正が必要です。";
}

#[cfg(test)]
mod tests {
    use super::Sentence;
    use crate::language::Language;

    /// Product §6: every sentence exists in both languages, with a place for a name in both or in neither.
    #[test]
    fn the_table_of_sentences_is_complete() {
        for sentence in Sentence::ALL {
            let english = Language::English.say(*sentence);
            let japanese = Language::Japanese.say(*sentence);
            assert!(!english.trim().is_empty() && !japanese.trim().is_empty(), "{sentence:?}");
            assert!(english.is_ascii(), "{sentence:?} is not English");
            assert!(japanese.chars().any(|c| ('\u{3040}'..'\u{a000}').contains(&c)), "{sentence:?} is not Japanese");
            assert_eq!(english.matches("{}").count(), japanese.matches("{}").count(), "{sentence:?}");
            assert!(english.matches("{}").count() <= 1, "{sentence:?} has more than one place");
        }
    }

    #[test]
    fn the_language_follows_the_browser() {
        let cases = [
            (None, Language::English),
            (Some("ja"), Language::Japanese),
            (Some("ja-JP,ja;q=0.9,en;q=0.8"), Language::Japanese),
            (Some("en-GB,ja;q=0.9"), Language::English),
            (Some("fr,ja;q=0.5,en;q=0.4"), Language::Japanese),
            (Some("fr, de"), Language::English),
            (Some("ja;q=0"), Language::English),
            (Some("*"), Language::English),
            (Some(";;;,,,q=x"), Language::English),
        ];
        for (header, expected) in cases {
            assert_eq!(Language::accepted(header), expected, "{header:?}");
        }
    }
}
